import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.support.plausible import PlausibleRun
from verl_spo.store import open_reader, queries
from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard import data, panels, phases
from verl_spo_dashboard.charts import Look

pytestmark = pytest.mark.slow

Open = Callable[..., AppTest]

CHARTS = ["Reward", "Validation", "Value", "No signal", "Evidence kept", "Value of the whole pool"]
OTHERS = {
    "Policy": ["Entropy", "KL", "Clip fraction", "Policy change", "Response length", "Gradient norm"],
    "Speed": ["Time", "Throughput", "Writer's queue"],
}


def titles(app: AppTest) -> list[str]:
    specs = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    return [spec["title"]["text"] for spec in specs if "title" in spec]


def state(app: AppTest) -> str:
    """The line that says when the page was read."""
    return str(app.caption[0].value)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def percent(figure: str) -> float:
    return float(figure.removesuffix(" %"))


@pytest.fixture
def run(url: str) -> PlausibleRun:
    return PlausibleRun(url, name="a").train(12)


def test_a_run_has_all_its_charts(run: PlausibleRun, open_page: Open) -> None:
    run.close()
    app = open_page("training", run="a")
    assert not app.exception
    assert titles(app) == CHARTS


def test_other_groups_of_charts_are_a_click_away(run: PlausibleRun, open_page: Open) -> None:
    run.close()
    app = open_page("training", run="a")
    for group, expected in OTHERS.items():
        app.segmented_control(key="charts").set_value(group).run()
        assert titles(app) == expected
    app.segmented_control(key="charts").set_value("All").run()
    assert titles(app) == [*CHARTS, *OTHERS["Policy"], *OTHERS["Speed"]]
    assert titles(open_page("training", run="a", charts="Speed")) == OTHERS["Speed"]


def test_a_group_of_which_nothing_was_logged_says_so(run: PlausibleRun, url: str, open_page: Open) -> None:
    run.close()
    named = " OR ".join(f"name LIKE '{name}%'" for name in ("actor/", "response_length/", "spo/D", "spo/drift"))
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text(f"DELETE FROM metrics WHERE series_id IN (SELECT id FROM series WHERE {named})"))
    app = open_page("training", run="a", charts="Policy")
    assert "was not logged" in app.info[0].value


def test_its_figures_are_the_stores(run: PlausibleRun, url: str, open_page: Open) -> None:
    run.close()
    figures = metrics(open_page("training", run="a"))
    with open_reader(url) as reader:
        names = ["val-core/arithmetic/reward/mean@1", "spo/pool/value"]
        series = {s.name: s.values for s in queries.metric_series(reader, [1], names).series}
    assert figures["Step"] == "12"
    assert figures["Validation"] == f"{series[names[0]][0]:.3f} → {series[names[0]][-1]:.3f}"
    assert figures["Pool value"] == f"{series[names[1]][-1]:.3f}"


def test_the_page_goes_on_with_the_run_and_ends_with_it(run: PlausibleRun, open_page: Open) -> None:
    app = open_page("training", run="a")
    assert state(app).startswith("Updated")
    run.train(5)
    assert metrics(app.run())["Step"] == "17"
    run.close()
    assert "Nothing is running" in state(app.run())


@pytest.mark.parametrize(
    ("status", "beat", "every"), [("running", 0, 2.0), ("running", -3600, 10.0), ("finished", 0, None)]
)
def test_how_often_it_looks_depends_on_the_run(
    run: PlausibleRun, url: str, open_page: Open, monkeypatch: pytest.MonkeyPatch,
    status: str, beat: float, every: float | None,
) -> None:  # fmt: skip
    run.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        change = sa.text("UPDATE runs SET status = :status, heartbeat_at = heartbeat_at + :beat")
        connection.execute(change, {"status": status, "beat": beat})
    seen: list[Any] = []
    fragment = __import__("streamlit").fragment
    monkeypatch.setattr("streamlit.fragment", lambda f=None, **options: seen.append(options) or fragment(f, **options))
    app = open_page("training", run="a")
    assert seen[-1] == {"run_every": every}
    assert bool(app.warning) == (every == 10.0)
    assert not app.warning or "No sign of life for 1 h" in app.warning[0].value


def test_a_run_without_steps_says_so(url: str, open_page: Open) -> None:
    with PlausibleRun(url, name="new"):
        app = open_page("training", run="new")
    assert not app.exception
    assert "No step has ended yet" in app.info[0].value
    assert titles(app) == []


def test_a_run_without_steps_says_so_after_another_was_looked_at(run: PlausibleRun, url: str, open_page: Open) -> None:
    run.close()
    app = open_page("training", run="a")
    with PlausibleRun(url, name="new"):
        app.run()
        app.selectbox(key="run").set_value("new").run()
    assert "No step has ended yet" in app.info[0].value


def test_several_runs_share_their_charts(run: PlausibleRun, url: str, open_page: Open) -> None:
    run.close()
    PlausibleRun(url, name="b", seed=1).train(8).close()
    app = open_page("training", run="b", **{"with": ["a"]})
    assert app.dataframe[0].value["Run"].tolist() == ["b", "a"]
    assert app.dataframe[0].value["Step"].tolist() == ["8", "12"]
    assert titles(app) == [*CHARTS, CHARTS[-1]]


def test_the_newest_run_is_chosen_at_first(run: PlausibleRun, url: str, open_page: Open) -> None:
    run.close()
    PlausibleRun(url, name="newest").train(1).close()
    assert open_page("training").selectbox(key="run").value == "newest"


def test_a_run_that_is_gone_is_passed_over(run: PlausibleRun, open_page: Open) -> None:
    run.close()
    app = open_page("training", run="a", **{"with": ["gone"]})
    assert not app.exception
    assert titles(app) == CHARTS


def test_a_run_that_there_is_not_is_a_hint(run: PlausibleRun, open_page: Open) -> None:
    run.close()
    assert "Choose a run" in open_page("training", run="gone").info[0].value


def test_smoothing_changes_what_is_drawn(run: PlausibleRun, open_page: Open) -> None:
    run.close()
    app = open_page("training", run="a", smoothing="0.9")
    smoothed = app.get("vega_lite_chart")[0].proto.datasets[0].data.data
    app.slider(key="smoothing").set_value(0.0).run()
    assert app.get("vega_lite_chart")[0].proto.datasets[0].data.data != smoothed


def test_a_page_that_is_paused_stays_as_it_is(run: PlausibleRun, open_page: Open) -> None:
    app = open_page("training", run="a")
    app.toggle(key="paused").set_value(True).run()
    assert state(app).startswith("Paused")
    app.toggle(key="paused").set_value(False).run()
    run.train(3)
    assert metrics(app.run())["Step"] == "15"
    run.close()


def test_any_metric_can_be_shown(run: PlausibleRun, open_page: Open) -> None:
    run.close()
    app = open_page("training", run="a", metric=["timing_s/adv", "spo/failed"])
    assert titles(app)[-2:] == ["timing_s/adv", "spo/failed"]


@pytest.mark.parametrize(("axis", "last"), [("Step", 12), ("Trajectories", 12 * 32)])
def test_the_horizontal_axis_counts_what_one_asks_for(
    run: PlausibleRun, open_page: Open, axis: str, last: float
) -> None:
    run.close()
    app = open_page("training", run="a", x=axis)
    points = pa.ipc.open_stream(app.get("vega_lite_chart")[0].proto.datasets[0].data.data).read_all()
    assert points[axis.lower()].to_pylist()[-1] == last


class Unknown(data.Places):
    """How far a run was, before its first step has ended."""

    def trajectories(self, run_id: int, steps: IntArray) -> FloatArray:
        return np.full(steps.size, np.nan)

    hours = trajectories


@pytest.mark.parametrize("axis", list(panels.AXES))
def test_a_run_whose_progress_is_not_known_has_no_place_among_hours(axis: str, run: PlausibleRun, url: str) -> None:
    run.close()
    curves = data.Curves()
    with open_reader(url) as reader:
        (row,) = queries.runs(reader)
        curves.update(reader, [row.id], panels.metrics())
    drawing = panels.Drawing([row], curves, Unknown(), Look(axis=panels.AXES[axis]))
    drawn = panels.of_group(drawing, data.Distributions(), panels.ALL)
    assert bool(drawn) == (axis == "Step")


def test_time_is_what_its_phases_are_and_the_rest(run: PlausibleRun, url: str) -> None:
    run.close()
    curves = data.Curves()
    with open_reader(url) as reader:
        (row,) = queries.runs(reader)
        curves.update(reader, [row.id], panels.metrics())
    steps, parts = phases.of(curves, row.id, waiting=False)
    assert list(parts) == ["rollouts", "log-probs", "advantages", "update", "weight sync", "rest (idle)"]
    np.testing.assert_allclose(sum(parts.values()), curves.points(row.id, "timing_s/step")[1])
    np.testing.assert_allclose(parts["rest (idle)"], 0.1)
    idle = 0.1 * steps.size / sum(values.sum() for values in parts.values())
    assert phases.idle_share(parts, latest=12) == pytest.approx(idle)


def test_a_trainer_with_devices_of_its_own_idles_while_it_waits_for_rollouts(
    run: PlausibleRun, url: str, open_page: Open
) -> None:
    run.close()
    before = metrics(open_page("training", run="a"))["Idle"]
    with sa.create_engine(url).begin() as connection:
        config = {"trainer": {"v1": {"trainer_mode": "spo_separate_async"}}}
        connection.execute(sa.text("UPDATE attempts SET config = :config"), {"config": json.dumps(config)})
    assert percent(metrics(open_page("training", run="a"))["Idle"]) > percent(before) + 20
