"""The charts' data and what holds them together; what they look like is seen in a browser."""

import json
from typing import Any

import numpy as np
import pytest

from verl_spo.store.queries import ObservationRow
from verl_spo_dashboard import charts
from verl_spo_dashboard.charts import Line, Titles
from verl_spo_dashboard.series import MOST_POINTS

TITLES = Titles("Reward", "of a step", "reward")
HOSTILE = '<img src=x onerror="alert(1)">'


def line(run: str = "a", part: str = "", values: tuple[float, ...] = (0.0, 1.0, 0.5)) -> Line:
    return Line(run, part, np.arange(1, len(values) + 1), np.array(values))


def visit(step: int, reward: float, superseded: bool = False) -> ObservationRow:
    return ObservationRow(
        step, 1, 0, 5, step - 1, reward, 0.5, reward - 0.5, 0.9, None, 1 + reward, 2 - reward, 9, "s", superseded
    )


def fields(spec: Any) -> set[str]:
    """All fields that a specification encodes."""
    if isinstance(spec, dict):
        own = {spec["field"]} if isinstance(spec.get("field"), str) else set()
        return own.union(*map(fields, spec.values()))
    return set().union(*map(fields, spec)) if isinstance(spec, list) else set()


def json_part(spec: charts.Spec) -> Any:
    """What is sent as JSON: all but the data."""
    return json.loads(json.dumps({key: value for key, value in spec.items() if key != "datasets"}))


@pytest.mark.parametrize(
    ("spec", "dataset"),
    [
        (charts.lines([line(), line("b")], TITLES, 0.6, ["a", "b"]), "points"),
        (charts.lines([line(part="x"), line(part="y")], TITLES, 0.0, ["a"]), "points"),
        (charts.legend(["a", "b"]), "runs"),
        (charts.prompt_history([visit(1, 1.0), visit(2, 0.0, superseded=True)], TITLES), "visits"),
    ],
)
def test_every_encoded_field_is_in_the_data(spec: charts.Spec, dataset: str) -> None:
    assert fields(json_part(spec)) <= set(spec["datasets"][dataset].column_names)


def test_smoothed_lines_keep_the_values_behind_them() -> None:
    spec = charts.lines([line(values=(0.0, 3.0))], TITLES, 0.5, ["a"])
    table = spec["datasets"]["points"].to_pydict()
    assert table["value"] == [0.0, 3.0]
    assert table["smoothed"] == [0.0, 2.0]
    assert len(spec["layer"]) == len(charts.lines([line()], TITLES, 0.0, ["a"])["layer"]) + 1


def test_a_missing_value_is_a_gap() -> None:
    spec = charts.lines([line(values=(1.0, float("nan"), 2.0))], TITLES)
    assert spec["datasets"]["points"].to_pydict()["value"] == [1.0, None, 2.0]


def test_a_long_curve_is_thinned_after_it_was_smoothed() -> None:
    values = tuple(np.linspace(0, 1, 5000))
    table = charts.lines([line(values=values)], TITLES, 0.9)["datasets"]["points"].to_pydict()
    assert len(table["step"]) <= MOST_POINTS
    assert (table["step"][0], table["step"][-1]) == (1, 5000)


def test_a_run_has_its_colour_where_another_one_has_no_curve() -> None:
    spec = charts.lines([line("b")], TITLES, 0.0, ["a", "b"])
    assert spec["encoding"]["color"]["scale"]["domain"] == ["a", "b"]


def test_names_stay_data() -> None:
    spec = charts.lines([line(HOSTILE, HOSTILE)], TITLES, 0.0, [HOSTILE, "b"])
    assert HOSTILE not in fields(spec)
    assert spec["encoding"]["color"]["scale"]["domain"] == [HOSTILE, "b"]


def test_the_heat_map_covers_every_step_and_bin() -> None:
    shares = np.array([[1.0, 0.0], [0.25, 0.75]])
    spec = charts.heat_map(np.array([2, 4]), shares, TITLES)
    cells, means = spec["datasets"]["cells"].to_pydict(), spec["datasets"]["means"].to_pydict()
    assert list(zip(cells["step"], cells["until"], cells["low"], cells["share"], strict=True)) == [
        (2, 4, 0.0, 1.0), (2, 4, 0.5, 0.0), (4, 6, 0.0, 0.25), (4, 6, 0.5, 0.75),
    ]  # fmt: skip
    np.testing.assert_allclose(means["mean"], [0.25, 0.25 * 0.25 + 0.75 * 0.75])


def test_a_heat_map_of_one_step_is_one_step_wide() -> None:
    cells = charts.heat_map(np.array([7]), np.array([[0.5, 0.5]]), TITLES)["datasets"]["cells"].to_pydict()
    assert (set(cells["step"]), set(cells["until"])) == ({7}, {8})


def test_a_history_is_in_the_order_of_its_steps() -> None:
    table = charts.prompt_history([visit(9, 0.0), visit(4, 1.0)], TITLES)["datasets"]["visits"].to_pydict()
    assert table["step"] == [4, 9]
    assert table["value"] == pytest.approx([2 / 3, 1 / 3])
    assert all(low < value < high for low, value, high in zip(table["low"], table["value"], table["high"], strict=True))
