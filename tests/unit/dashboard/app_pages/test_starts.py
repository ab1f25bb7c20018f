"""A run before its first step, on every page that shows it, and a start that failed."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs import starts

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]

STARTER = "elsewhere:1:2:3:4"
ERROR = "RewardError: <b>no</b> model\nraised in TaskRunnerV1"
PAGES = [("training", "run"), ("prompts", "run")]


def texts(app: AppTest) -> list[str]:
    return [text.value for text in app.text]


@pytest.fixture
def begin(url: str) -> Callable[[], None]:
    def begin() -> None:
        starts.begin(open_engine(url), "new", STARTER, "loading the model")

    return begin


@pytest.fixture
def fail(url: str) -> Callable[[], None]:
    return lambda: starts.end(open_engine(url), "new", STARTER, ERROR)


def test_the_list_has_the_phase_and_then_the_error(
    begin: Callable[[], None], fail: Callable[[], None], open_page: Open
) -> None:
    begin()
    app = open_page("runs")
    table = app.dataframe[0].value
    assert not app.info
    assert [list(status) for status in table["status"]] == [["starting"]]
    assert table["note"].tolist() == ["loading the model"]
    fail()
    table = app.run().dataframe[0].value
    assert [list(status) for status in table["status"]] == [["failed"]]
    assert table["note"].tolist() == [ERROR.partition("\n")[0]]


@pytest.mark.parametrize(("page", "parameter"), PAGES)
def test_where_it_is_chosen_there_is_the_phase_and_then_the_error(
    begin: Callable[[], None], fail: Callable[[], None], open_page: Open, page: str, parameter: str
) -> None:
    begin()
    app = open_page(page, **{parameter: "new"})
    assert not app.exception
    assert "Before the first step: loading the model" in texts(app)
    fail()
    app.run()
    assert not app.exception
    assert app.error[0].value == "The last start failed."
    assert ERROR in [code.value for code in app.code]


def test_of_several_runs_the_note_has_its_name(url: str, begin: Callable[[], None], open_page: Open) -> None:
    PlausibleRun(url, name="a").train(2).close()
    begin()
    shown = texts(open_page("training", run="a", **{"with": ["new"]}))
    assert shown.index("new") + 1 == shown.index("Before the first step: loading the model")
    assert "a" not in shown


def test_the_prompts_of_a_run_that_is_started_again_stay_in_sight(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="new").train(2).close()
    starts.begin(open_engine(url), "new", STARTER, "loading the model")
    app = open_page("prompts", run="new")
    assert "Before the first step: loading the model" in texts(app)
    assert len(app.dataframe[0].value) > 0
