"""Two runs side by side."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun
from tests.support.watched import Story

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]

FEW = Story(steps=2)


def compared(open_page: Open, first: str, *others: str) -> AppTest:
    app = open_page("compare", **{"run": first, "with": list(others)})
    assert not app.exception
    return app


@pytest.fixture
def two(url: str) -> None:
    common = {"data": {"seed": 1}, "list": [1, 2]}
    FEW.train(url, "a", config={"spo": {"d_half": 0.06, "prior": 0.5}, **common}, versions={"verl": "0.9.1", "x": "1"})
    FEW.train(url, "b", config={"spo": {"d_half": 0.03, "prior": 0.5}, **common}, versions={"verl": "0.9.2", "x": "1"})


def test_what_differs_is_shown_and_nothing_else(two: None, open_page: Open) -> None:
    summary, options, software = (table.value for table in compared(open_page, "a", "b").dataframe)
    assert summary["Run"].tolist() == ["a", "b"]
    assert options.to_numpy().tolist() == [["spo.d_half", "0.06", "0.03"]]
    assert software.to_numpy().tolist() == [["verl", "0.9.1", "0.9.2"]]


def test_runs_that_are_alike_differ_in_nothing(url: str, open_page: Open) -> None:
    for name in ("a", "b"):
        FEW.train(url, name)
    app = compared(open_page, "a", "b")
    assert [caption.value for caption in app.caption].count("Nothing differs.") == 2
    assert len(app.dataframe) == 1


def test_one_run_alone_is_asked_to_have_company(two: None, open_page: Open) -> None:
    for others in ([], ["a"], ["no such run"]):
        app = compared(open_page, "a", *others)
        assert "Choose at least one other run" in app.info[0].value
        assert not app.dataframe


def test_without_runs_there_are_the_commands(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").close()
    assert "no such file" not in str(open_page("compare", run="no such run").code)


def test_a_password_never_shows(url: str, open_page: Open) -> None:
    for name, host in (("a", "one"), ("b", "two")):
        config = {
            "spo": {"store": {"url": f"postgresql://me:s3cret-{name}@{host}/d"}},
            "api_key": f"s3cret-{name}",
            "command": f"run --db postgresql://me:s3cret-{name}@{host}/d",
        }
        FEW.train(url, name, config=config)
    app = compared(open_page, "a", "b")
    options = app.dataframe[1].value
    assert options.to_numpy().tolist() == [
        ["command", "run --db postgresql://me:***@one/d", "run --db postgresql://me:***@two/d"],
        ["spo.store.url", "postgresql://me:***@one/d", "postgresql://me:***@two/d"],
    ]
    assert "s3cret" not in str(app)


def test_what_runs_are_called_is_no_markup(url: str, open_page: Open) -> None:
    hostile = "<img src=x> **b** [x](http://example.com)"
    FEW.train(url, hostile, config={hostile: {hostile: hostile}})
    FEW.train(url, "b")
    app = compared(open_page, "b", hostile)
    assert hostile in app.dataframe[0].value["Run"].tolist()
    assert hostile not in "".join(each.value for each in (*app.markdown, *app.caption, *app.subheader))
