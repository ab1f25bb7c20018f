import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun, arithmetic

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]


def titles(app: AppTest) -> list[str]:
    """Of the charts, in order."""
    return [json.loads(chart.proto.spec)["title"]["text"] for chart in app.get("vega_lite_chart")]


def questions() -> list[Any]:
    return [replace(each, source="odd" if place % 3 else "even") for place, each in enumerate(arithmetic(96))]


def test_without_runs_there_is_a_hint(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").close()
    app = open_page("difficulty", run="a")
    assert not app.exception
    assert any("No step has ended yet" in info.value for info in app.info)


def test_a_run_has_every_chart(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a", questions=questions()).train(12).close()
    app = open_page("difficulty", run="a")
    assert not app.exception
    assert titles(app) == [
        "Value now", "Value of the whole pool", "Classes", "Moves", "Data sources", "Evidence", "Visits", "Draws",
        "Calibration", "Called back, passed over, failing",
    ]  # fmt: skip


def test_two_runs_stand_side_by_side_and_a_third_is_left_out(url: str, open_page: Open) -> None:
    for name in ("a", "b", "c"):
        PlausibleRun(url, name=name).train(3).close()
    app = open_page("difficulty", run="a", **{"with": ["b", "c"]})
    assert not app.exception
    assert titles(app).count("Value now") == 2
    assert any("first two" in caption.value for caption in app.caption)


def test_a_run_from_before_classes_were_counted(url: str, open_page: Open) -> None:
    PlausibleRun(url, name="a").train(3).close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE step_summaries SET details = '{}'"))
    engine.dispose()
    app = open_page("difficulty", run="a")
    assert not app.exception
    assert "Classes" not in titles(app)
    assert "Draws" in titles(app)


@pytest.mark.parametrize("name", ["nobody", "<b>", ""])
def test_an_address_of_no_run(url: str, open_page: Open, name: str) -> None:
    PlausibleRun(url, name="a").train(1).close()
    assert not open_page("difficulty", run=name).exception


def test_what_is_new_is_added_to_what_was_read(url: str, open_page: Open) -> None:
    run = PlausibleRun(url, name="a").train(3)
    app = open_page("difficulty", run="a")
    run.train(4)
    app.run()
    read = app.session_state["held"].difficulties._of[1]
    assert [row.step for row in read.latest] == list(range(1, 8))
    assert read.outcomes.steps.tolist() == list(range(1, 8))
    assert sum(map(sum, read.by_source.values())) == 96
    assert read.n_eff.sum() == read.visits.sum() == 96
    run.close()


def test_numbers_of_several_runs_say_whose_they_are(url: str, open_page: Open) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name).train(3).close()
    offered = open_page("difficulty", run="a", **{"with": ["b"]}).selectbox(key="csv").options
    assert {f"Calibration · {name}" for name in ("a", "b")} <= set(offered)
    assert len(set(offered)) == len(offered)
    assert "Calibration" in open_page("difficulty", run="a").selectbox(key="csv").options
