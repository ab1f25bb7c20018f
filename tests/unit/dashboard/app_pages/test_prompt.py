from collections.abc import Callable

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun, arithmetic
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import PromptFilter, RolloutRow
from verl_spo_dashboard.one_rollout import named

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]


@pytest.fixture
def run(url: str) -> PlausibleRun:
    run = PlausibleRun(url, name="a", questions=arithmetic(33), wrong="I think not, the answer is 12.").train(12)
    run.close()
    return run


def answers(url: str) -> list[RolloutRow]:
    """Of a prompt that was answered right and wrong."""
    with open_reader(url) as reader:
        every = [queries.prompt_rollouts(reader, 1, number) for number in range(1, 34)]
    return next(rows for rows in every if {row.observation.reward for row in rows} == {0.0, 1.0})


def test_without_a_prompt_the_way_to_one_is_shown(run: PlausibleRun, open_page: Open) -> None:
    assert "Choose a prompt" in open_page("prompt", run="a").info[0].value


def test_a_prompt_has_its_history_its_belief_and_its_answers(run: PlausibleRun, url: str, open_page: Open) -> None:
    rows = answers(url)
    app = open_page("prompt", run="a", prompt=str(rows[0].observation.prompt_id))
    assert not app.exception
    # Value, retention, policy change, and what the tracker believes.
    assert len(app.get("vega_lite_chart")) == 4
    assert [int(step) for step in app.dataframe[0].value["step"]] == [row.observation.step for row in rows]


@pytest.mark.parametrize(
    ("parameters", "rewards"),
    [({"answer_outcome": "Right"}, {1.0}), ({"answer_outcome": "Wrong"}, {0.0}), ({"words": '"think not"'}, {0.0})],
)
def test_answers_are_filtered(
    run: PlausibleRun, url: str, open_page: Open, parameters: dict[str, str], rewards: set[float]
) -> None:
    rows = answers(url)
    app = open_page("prompt", run="a", prompt=str(rows[0].observation.prompt_id), **parameters)
    wanted = [row.observation.step for row in rows if row.observation.reward in rewards]
    assert app.dataframe[0].value["step"].tolist() == wanted


@pytest.mark.parametrize(
    "asked", [{"outcome": "Right (1)"}, {"q": "what", "sort": "Easiest first"}, {"value_to": "0.9", "visits_from": "1"}]
)
def test_the_next_prompt_is_that_of_the_filtered_table(
    run: PlausibleRun, url: str, open_page: Open, asked: dict[str, str]
) -> None:
    table = open_page("prompts", run="a", **asked)
    with open_reader(url) as reader:
        where = PromptFilter(
            words=asked.get("q", ""),
            last_outcome=(1.0, 1.0) if "outcome" in asked else (None, None),
            value=(None, 0.9 if "value_to" in asked else None),
            visits=(1 if "visits_from" in asked else None, None),
        )
        rows = queries.prompts(reader, 1, "value", "sort" in asked, where, 0, 3).rows
    assert table.dataframe[0].value["visits"].tolist()[:3] == [row.visits for row in rows]
    app = open_page("prompt", run="a", prompt=str(rows[1].prompt_id), **asked)
    next(button for button in app.button if button.label == "Next prompt").click().run()
    assert app.query_params["prompt"] == str(rows[2].prompt_id)
    assert all(app.query_params[name] in (value, [value]) for name, value in asked.items())


def test_two_answers_are_compared_word_by_word(run: PlausibleRun, url: str, open_page: Open) -> None:
    rows = answers(url)
    right, wrong = (next(row for row in rows if row.observation.reward == reward) for reward in (1.0, 0.0))
    app = open_page(
        "prompt",
        run="a",
        prompt=str(right.observation.prompt_id),
        rollout=named(right.observation.key),
        other=named(wrong.observation.key),
    )
    assert not app.exception
    first, second = (each.proto.body for each in app.get("html"))
    assert "The</mark> answer is <mark" in first
    assert "I think not, the</mark> answer is <mark" in second
    assert right.response in [code.value for code in app.code]


def test_neighbours_are_those_of_the_table_that_led_here(run: PlausibleRun, url: str, open_page: Open) -> None:
    where = PromptFilter(words="what")
    with open_reader(url) as reader:
        ids = [row.prompt_id for row in queries.prompts(reader, 1, "visits", True, where).rows]
    app = open_page("prompt", run="a", prompt=str(ids[0]), sort="Most visits first", q="what")
    for number in ids[1:4]:
        app.button[1].click().run()
        assert not app.exception
        assert app.query_params["prompt"] == str(number)
    assert app.button[0].click().run().query_params["prompt"] == str(ids[2])
    assert app.query_params["q"] == "what"


def test_the_same_prompt_in_other_runs(run: PlausibleRun, url: str, open_page: Open) -> None:
    PlausibleRun(url, name="b", questions=arithmetic(33)).train(2).close()
    app = open_page("prompt", run="a", prompt="3")
    assert not app.exception
    assert app.dataframe[0].value["run"].tolist() == ["b", "a"]


@pytest.mark.parametrize("number", ["999999", "-1", "x", "²"])
def test_a_prompt_that_is_not_there_is_no_traceback(run: PlausibleRun, open_page: Open, number: str) -> None:
    app = open_page("prompt", run="a", prompt=number, rollout="1", sort="?")
    assert not app.exception
    assert any("not in the pool" in code.value for code in app.code) == (number == "999999")


def test_an_outcome_without_a_text_has_its_figures(run: PlausibleRun, url: str, open_page: Open) -> None:
    seen = answers(url)[0].observation
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM rollouts"))
    engine.dispose()
    app = open_page("prompt", run="a", prompt=str(seen.prompt_id), rollout=named(seen.key))
    assert not app.exception
    assert {metric.label: metric.value for metric in app.metric}["Step"] == str(seen.step)
    assert "No text of this one is kept." in [each.value for each in app.info]
