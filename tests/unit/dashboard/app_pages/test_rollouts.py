from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun, arithmetic
from tests.support.stores import Training, info, start
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import RolloutFilter, RolloutRow
from verl_spo_dashboard.one_rollout import named

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]


@pytest.fixture
def run(url: str) -> PlausibleRun:
    run = PlausibleRun(url, name="a", questions=arithmetic(64), multi_turn=True).train(4)
    run.close()
    return run


def kept(url: str, where: RolloutFilter | None = None) -> tuple[RolloutRow, ...]:
    with open_reader(url) as reader:
        return queries.rollouts(reader, 1, where, limit=1000).rows


def steps(app: AppTest) -> list[int]:
    return [int(step) for step in app.dataframe[0].value["step"]]


def test_a_run_without_texts_says_why(url: str, open_page: Open) -> None:
    training = Training()
    writer = start(url, training, info("a"))
    writer.submit(training.advance())
    writer.close("finished")
    app = open_page("rollouts", run="a")
    assert not app.exception
    assert any("No text is kept" in each.value for each in app.info)


def test_the_newest_come_first_and_older_ones_are_a_click_away(run: PlausibleRun, url: str, open_page: Open) -> None:
    app = open_page("rollouts", run="a")
    assert not app.exception
    found = steps(app)
    pages = 1
    while any(button.label == "Look further back" for button in app.button):
        next(button for button in app.button if button.label == "Look further back").click()
        app.run()
        found += steps(app) if app.dataframe else []
        pages += 1
    assert found == [row.observation.step for row in kept(url)]
    assert pages == 7
    next(button for button in app.button if button.label == "Back to the newest").click()
    assert set(steps(app.run())) == {4}


def test_a_link_to_a_step_is_its_range(run: PlausibleRun, open_page: Open) -> None:
    app = open_page("rollouts", run="a", step="2")
    assert set(steps(app)) == {2}
    assert (app.number_input(key="from").value, app.number_input(key="to").value) == (2, 2)


@pytest.mark.parametrize(
    ("parameters", "where"),
    [
        ({"reward": ["0.0", "0.5"]}, RolloutFilter(reward=(None, 0.5))),
        ({"end": "cut off"}, RolloutFilter(finish="length")),
        ({"shortest": "50", "longest": "120"}, RolloutFilter(length=(50, 120))),
        ({"words": "calculator"}, RolloutFilter(words="calculator")),
    ],
)
def test_filters_of_an_address(
    run: PlausibleRun, url: str, open_page: Open, parameters: dict[str, str], where: RolloutFilter
) -> None:
    app = open_page("rollouts", run="a", **parameters)
    assert not app.exception
    wanted = kept(url, where)
    assert 0 < len(wanted) < len(kept(url))
    assert app.dataframe[0].value["tokens"].tolist() == [row.observation.response_length for row in wanted[:20]]


def test_a_session_is_told_message_by_message(run: PlausibleRun, url: str, open_page: Open) -> None:
    chosen = next(row for row in kept(url) if row.parts)
    app = open_page("rollouts", run="a", rollout=named(chosen.observation.key))
    assert not app.exception
    assert [code.value.strip() for code in app.code] == [chosen.prompt, *(part.text.strip() for part in chosen.parts)]
    captions = [caption.value for caption in app.caption]
    assert f"{chosen.parts[0].tokens} tokens · trained on" in captions
    assert [text.value for text in app.text if "calculator" in text.value] == ["calls calculator", "from calculator"]
    assert "7 tokens · not trained on: a tool's or a user's words" in captions
    assert any("2 turns" in caption for caption in captions)


def test_an_answer_of_one_turn_is_its_text(run: PlausibleRun, url: str, open_page: Open) -> None:
    chosen = next(row for row in kept(url) if not row.parts)
    app = open_page("rollouts", run="a", rollout=named(chosen.observation.key))
    assert [code.value for code in app.code] == [chosen.prompt, chosen.response]


@pytest.mark.parametrize("rollout", ["9.9.9", "1.1", "x", "1.1.-1", "1.1.1.1", "9" * 40 + ".1.1"])
def test_a_rollout_that_is_not_there_is_no_traceback(run: PlausibleRun, open_page: Open, rollout: str) -> None:
    app = open_page("rollouts", run="a", rollout=rollout)
    assert not app.exception
    assert app.info[-1].value.startswith("No text of this" if rollout == "9.9.9" else "Click a rollout")


@pytest.mark.parametrize("parameters", [{"step": "x"}, {"reward": "9"}, {"from": "-3"}, {"end": "?"}, {"after": "1"}])
def test_a_bad_address_shows_what_it_can(run: PlausibleRun, open_page: Open, parameters: dict[str, str]) -> None:
    app = open_page("rollouts", run="a", **parameters)
    assert not app.exception
    assert app.dataframe
