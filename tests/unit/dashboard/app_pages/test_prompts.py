from collections.abc import Callable

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun, Question, arithmetic
from tests.support.stores import Training, info
from verl_spo.config import StoreConfig
from verl_spo.store import open_reader, open_writer, queries
from verl_spo.store.queries import Movement, PromptFilter
from verl_spo.training.prompts.pool import PromptPool
from verl_spo_dashboard.one_prompt import ROLLOUTS

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]

PROMPTS = 64


@pytest.fixture
def run(url: str) -> PlausibleRun:
    run = PlausibleRun(url, name="a", questions=arithmetic(PROMPTS)).train(10)
    run.close()
    return run


def test_the_table_begins_with_the_hardest(run: PlausibleRun, url: str, open_page: Open) -> None:
    app = open_page("prompts", run="a")
    assert not app.exception
    with open_reader(url) as reader:
        wanted = queries.prompts(reader, 1, "value", limit=20).rows
    table = app.dataframe[0].value
    assert table["text"].tolist() == [row.text for row in wanted]
    assert table["value"].tolist() == [row.value for row in wanted]
    assert table["visits"].tolist() == [row.visits for row in wanted]
    assert table["interval"][0] == f"{wanted[0].low:.2f} – {wanted[0].high:.2f}"
    assert f"{PROMPTS} prompts" in [text.value for text in app.text]


@pytest.mark.parametrize(
    ("order", "column", "descending"),
    [("Easiest first", "value", True), ("Most visits first", "visits", True), ("Least evidence first", "n_eff", False)],
)
def test_another_order(run: PlausibleRun, open_page: Open, order: str, column: str, descending: bool) -> None:
    values = open_page("prompts", run="a", sort=order).dataframe[0].value[column].tolist()
    assert values == sorted(values, reverse=descending)


def test_pages_follow_each_other_and_can_be_jumped_to(run: PlausibleRun, open_page: Open) -> None:
    app = open_page("prompts", run="a")
    assert app.pagination(key="page").num_pages == 4
    pages = [app.pagination(key="page").set_value(number).run().dataframe[0].value for number in (1, 2, 3, 4)]
    texts = [text for page in pages for text in page["text"]]
    assert sorted(texts) == sorted(question.text for question in run.questions)
    assert open_page("prompts", run="a", page="3").dataframe[0].value["text"].tolist() == pages[2]["text"].tolist()


def test_a_search_finds_and_begins_at_its_first_page(run: PlausibleRun, open_page: Open) -> None:
    app = open_page("prompts", run="a", page="3")
    wanted = run.questions[5].text
    app.text_input(key="q").set_value(f'"{wanted}"').run()
    assert app.dataframe[0].value["text"].tolist() == [wanted]
    assert app.pagination(key="page").value == 1
    app.text_input(key="q").set_value("nothing has this").run()
    assert "No prompt" in app.info[0].value


def test_a_prompt_that_a_parent_visited_has_no_history_yet(run: PlausibleRun, url: str, open_page: Open) -> None:
    with open_reader(url) as reader:
        (prompt,) = queries.prompts(reader, 1, "visits", True, limit=1).rows
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM observations"))
    engine.dispose()
    app = open_page("prompts", run="a", prompt=str(prompt.prompt_id))
    assert not app.exception
    assert [info.value for info in app.info] == [
        "None of its visits is in this run's history: its value is where it began."
    ]


def test_a_prompt_has_its_figures_history_and_answers(run: PlausibleRun, url: str, open_page: Open) -> None:
    with open_reader(url) as reader:
        (prompt,) = queries.prompts(reader, 1, "visits", True, limit=1).rows
        rollouts = queries.prompt_rollouts(reader, 1, prompt.prompt_id, limit=ROLLOUTS)
    app = open_page("prompts", run="a", prompt=str(prompt.prompt_id))
    assert not app.exception
    shown = [code.value for code in app.code]
    assert shown[0] == prompt.text
    assert shown[1 : 1 + len(rollouts)] == [rollout.response for rollout in rollouts]
    assert {metric.label: metric.value for metric in app.metric}["Visits"] == str(prompt.visits)
    assert len(app.get("vega_lite_chart")) == 1
    assert any("reward 1" in text.value or "reward 0" in text.value for text in app.text)


def test_a_prompt_of_parts_is_its_text(url: str, open_page: Open) -> None:
    parts = [{"type": "image", "image": b"picture"}, {"type": "text", "text": "Which colour?"}]
    prompts = PromptPool([{"prompt": [{"role": "user", "content": parts}]}]).records()
    open_writer(StoreConfig(url=url), info("a"), prompts, Training(1).rows(), None).close("finished")
    app = open_page("prompts", run="a", prompt="1", q="colour")
    assert app.dataframe[0].value["text"].tolist() == ["Which colour?"]
    assert app.code[0].value == "Which colour?"
    assert not [text.value for text in app.text if "Right answer" in text.value]


def test_a_prompt_that_was_never_visited(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").close()
    app = open_page("prompts", run="a", prompt="1")
    assert "Not visited yet" in app.info[0].value


@pytest.mark.parametrize("number", ["999999", "-1", "x", "9" * 40, "²"])
def test_a_prompt_that_is_not_there_is_no_traceback(run: PlausibleRun, open_page: Open, number: str) -> None:
    app = open_page("prompts", run="a", prompt=number)
    assert not app.exception
    assert any("not in the pool" in code.value for code in app.code) == (number == "999999")


def test_texts_without_end_are_cut(url: str, open_page: Open) -> None:
    endless = Question("word " * 100_000, "1", 0.5)
    PlausibleRun(url, name="a", questions=[endless, *arithmetic(31)]).close()
    app = open_page("prompts", run="a", prompt="1")
    assert len(app.code[0].value) < 60_000
    assert "characters left out" in app.code[0].value
    assert max(map(len, app.dataframe[0].value["text"])) <= 300


def test_of_several_sources_one_can_be_chosen(run: PlausibleRun, url: str, open_page: Open) -> None:
    assert "Source" not in [box.label for box in open_page("prompts", run="a").selectbox]
    questions = [Question("How many?", "7", 0.5, source="words"), *arithmetic(31)]
    PlausibleRun(url, name="b", questions=questions).close()
    app = open_page("prompts", run="b", source="words")
    assert app.selectbox(key="source").options == ["arithmetic", "words"]
    assert app.dataframe[0].value["text"].tolist() == ["How many?"]


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ({"value_from": "0.3", "value_to": "0.6"}, PromptFilter(value=(0.3, 0.6))),
        ({"n_eff_from": "1.5"}, PromptFilter(n_eff=(1.5, None))),
        ({"visits_to": "2"}, PromptFilter(visits=(None, 2))),
        ({"outcome": "Right (1)"}, PromptFilter(last_outcome=(1.0, 1.0))),
        ({"outcome": "Wrong (0)", "q": "what"}, PromptFilter(words="what", last_outcome=(0.0, 0.0))),
        ({"moved": "Up by", "moved_by": "0.1"}, PromptFilter(moved=Movement(0, 0.1, None))),
        ({"moved": "Down by", "moved_by": "0.2", "moved_since": "4"}, PromptFilter(moved=Movement(4, None, -0.2))),
    ],
    ids=str,
)
def test_the_address_has_every_filter(
    run: PlausibleRun, url: str, open_page: Open, address: dict[str, str], where: PromptFilter
) -> None:
    app = open_page("prompts", run="a", **address)
    assert not app.exception
    with open_reader(url) as reader:
        wanted = queries.prompts(reader, 1, "value", where=where, limit=20).rows
    assert len(wanted) > 0
    assert app.dataframe[0].value["text"].tolist() == [row.text for row in wanted]
    assert app.pagination(key="page").value == 1


@pytest.mark.parametrize(
    "address",
    [
        {"value_from": "x"},
        {"value_to": "7"},
        {"visits_from": "-1"},
        {"outcome": "<b>"},
        {"moved": "x", "moved_by": "9"},
    ],
    ids=str,
)
def test_a_filter_that_means_nothing_is_passed_over(
    run: PlausibleRun, open_page: Open, address: dict[str, str]
) -> None:
    app = open_page("prompts", run="a", **address)
    assert not app.exception
    assert f"{PROMPTS} prompts" in [text.value for text in app.text]


def test_rows_show_how_the_value_moved_lately(run: PlausibleRun, url: str, open_page: Open) -> None:
    table = open_page("prompts", run="a", sort="Most visits first").dataframe[0].value
    with open_reader(url) as reader:
        rows = queries.prompts(reader, 1, "visits", True, limit=20).rows
        sparks = queries.sparklines(reader, 1, [row.prompt_id for row in rows])
    assert [list(points) for points in table["spark"]] == [list(sparks[row.prompt_id].values) for row in rows]
    assert table["trend"][0] == pytest.approx(sparks[rows[0].prompt_id].trend)
