"""The charts' data and what holds them together; what they look like is seen in a browser."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.store.queries import ObservationRow, PromptRow
from verl_spo.store.text import Part
from verl_spo_dashboard import charts
from verl_spo_dashboard.charts import HOURS, STEP, TRAJECTORIES, Axis, Estimate, Line, Look, Titles, estimates, spec
from verl_spo_dashboard.series import MOST_POINTS, smooth

TITLES = Titles("Reward", "of a step", "reward")
HOSTILE = '<img src=x onerror="alert(1)">'


def line(run: str = "a", part: str = "", values: tuple[float, ...] = (0.0, 1.0, 0.5)) -> Line:
    return Line(run, part, np.arange(1, len(values) + 1), np.array(values))


def visit(step: int, reward: float, superseded: bool = False) -> ObservationRow:
    return ObservationRow(
        step, 1, 0, 5, step - 1, reward, 0.5, reward - 0.5, 0.9, None, 1 + reward, 2 - reward, 9, "s", superseded
    )


PROMPT = PromptRow(1, b"", "", "", "", 0.25, 0.1, 0.5, 8.0, 3, 3)


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
    "spec",
    [
        charts.lines([line(), line("b")], TITLES, Look(0.6), ["a", "b"]),
        charts.lines([line(part="x"), line(part="y")], TITLES, Look(), ["a"]),
        charts.lines([line(values=tuple(range(5000)))], TITLES, Look(0.6)),
        charts.stacked(np.array([1.0, 2.0]), {"x": np.ones(2), "y": np.zeros(2)}, TITLES),
        charts.legend(["a", "b"]),
        charts.prompt_history([visit(1, 1.0), visit(2, 0.0, superseded=True)], TITLES, opens=True, chosen=[(1, 1, 0)]),
        charts.prompt_numbers([visit(1, 1.0), visit(2, 0.0)], "rho", TITLES),
        charts.prompt_numbers([visit(1, 1.0)], "policy_change", TITLES),
        charts.rewards(np.array([3, 0, 1]), (0.0, 0.5), TITLES),
        charts.session([Part("model", 3, "a"), Part("environment", 2, "b")]),
        charts.beta(PROMPT, TITLES),
    ],
)
def test_every_encoded_field_is_in_the_data(spec: charts.Spec) -> None:
    assert fields(json_part(spec)) <= set().union(
        *(table.column_names for table in spec["datasets"].values()), made(spec)
    )


def made(spec: Any) -> set[str]:
    """All fields that a specification makes itself, and those of the data in it."""
    if isinstance(spec, dict):
        named = spec.get("as", [])
        own = {named} if isinstance(named, str) else set(named)
        own |= {field for row in spec.get("values", []) if isinstance(row, dict) for field in row}
        return own.union(*(made(value) for key, value in spec.items() if key != "datasets"))
    return set().union(*map(made, spec)) if isinstance(spec, list) else set()


def test_a_chart_is_made_anew_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(seconds: float) -> Any:
        monkeypatch.setattr(spec.time, "time", lambda: seconds)
        return json_part(charts.lines([line()], TITLES))

    assert made(0.0) == made(spec.REDRAWN_S - 1) != made(spec.REDRAWN_S)


def drawn(*curves: Line, look: Look | None = None) -> dict[str, list[Any]]:
    """The data of a chart of some curves."""
    table: dict[str, list[Any]] = charts.lines(curves, TITLES, look or Look())["datasets"]["points"].to_pydict()
    return table


def marks(spec: charts.Spec) -> list[Any]:
    """Of the curves of a chart, those behind first."""
    marks: list[Any] = spec["layer"][0]["layer"]
    return marks


def test_smoothed_lines_keep_the_values_behind_them() -> None:
    spec = charts.lines([line(values=(0.0, 3.0))], TITLES, Look(0.5), ["a"])
    assert spec["datasets"]["points"].to_pydict() == {"step": [1, 2], "smoothed0": [0.0, 2.0], "values0": [0.0, 3.0]}
    assert [each["encoding"]["y"]["field"] for each in marks(spec)] == ["values0", "smoothed0", "smoothed0"]


def test_a_missing_value_is_a_gap() -> None:
    spec = charts.lines([line(values=(1.0, float("nan"), 2.0))], TITLES, Look(0.5))
    assert spec["datasets"]["points"].to_pydict()["values0"] == [1.0, None, 2.0]
    assert "invalid" not in marks(spec)[0]["mark"]


def test_a_long_curve_is_thinned_after_it_was_smoothed() -> None:
    values = tuple(np.linspace(0, 1, 5000))
    table = drawn(line(values=values), look=Look(0.9))
    assert len(table["step"]) <= MOST_POINTS
    assert (table["step"][0], table["step"][-1]) == (1, 5000)
    assert table["smoothed0"][-1] == pytest.approx(smooth(np.array(values), 0.9)[-1])


def test_where_points_are_left_out_one_stands_for_the_steps_up_to_the_next() -> None:
    table = drawn(line(values=tuple(np.linspace(0, 1, 5000))))
    assert table["until"] == [*(step - 1 for step in table["step"][1:]), 5000]


@pytest.mark.parametrize("first", [(41, 51), (1, 20), (10, 11)])
def test_a_point_of_one_step_stands_for_no_other_wherever_the_first_curve_is(first: tuple[int, int]) -> None:
    short = Line("a", "", np.arange(*first), np.ones(first[1] - first[0]))
    table = drawn(short, Line("b", "", np.arange(1, 60), np.ones(59)))
    assert table["step"] == list(range(1, 60))
    assert "until" not in table


def test_a_point_of_several_steps_tells_them_where_the_first_curve_has_ended() -> None:
    table = drawn(Line("a", "", np.arange(1, 20), np.ones(19)), Line("b", "", np.arange(1, 1001), np.ones(1000)))
    assert table["until"] == [*(step - 1 for step in table["step"][1:]), 1000]


def test_a_place_off_the_steps_tells_those_of_the_first_curve_up_to_the_next() -> None:
    steps = np.arange(1, 1001)
    table = drawn(Line("a", "", steps, np.ones(1000), steps * 32.0), look=Look(axis=TRAJECTORIES))
    assert table["until"] == [*(step - 1 for step in table["step"][1:]), 1000]
    assert table["trajectories"] == [step * 32 for step in table["step"]]


def test_what_thinning_leaves_out_is_within_the_band() -> None:
    values = np.zeros(5000)
    values[1234], values[4321] = 7.0, -3.0
    table = drawn(line(values=tuple(values)))
    assert (max(table["high0"]), min(table["low0"])) == (7.0, -3.0)
    assert max(table["smoothed0"]) == 0.0


def test_the_pointer_says_what_every_run_had_there() -> None:
    later = Line("b", "", np.array([2, 4]), np.array([5.0, 6.0]))
    spec = charts.lines([line(), later], TITLES, Look(), ["a", "b"])
    table = spec["datasets"]["points"].to_pydict()
    assert table["step"] == [1, 2, 3, 4]
    assert table["latest0"] == [0.0, 1.0, 0.5, 0.5]
    assert table["latest1"] == [None, 5.0, 5.0, 6.0]
    tooltip = spec["layer"][-1]["encoding"]["tooltip"]
    assert [(each["field"], each["title"]) for each in tooltip] == [
        ("said", "step"),
        ("latest0", "a"),
        ("latest1", "b"),
    ]


def test_a_curve_goes_on_over_the_places_where_only_others_have_points() -> None:
    seldom = Line("b", "", np.array([1, 3]), np.array([5.0, 6.0]))
    spec = charts.lines([line(), seldom], TITLES, Look(), ["a", "b"])
    assert spec["datasets"]["points"].to_pydict()["smoothed1"] == [5.0, None, 6.0]
    assert [each["mark"].get("invalid") for each in marks(spec)] == [None, "filter"] * 2


@given(st.lists(st.sets(st.integers(0, 400), min_size=1), min_size=1, max_size=3))
def test_thinning_several_curves_loses_no_extreme(places: list[set[int]]) -> None:
    curves = [
        Line(str(number), "", np.array(sorted(each)), np.array(sorted(each), dtype=float) ** 2)
        for number, each in enumerate(places)
    ]
    table = drawn(*curves)
    assert len(table["step"]) <= MOST_POINTS
    for number, curve in enumerate(curves):
        names = ("low", "high") if f"low{number}" in table else ("smoothed", "smoothed")
        low, high = ([x for x in table[f"{name}{number}"] if x is not None] for name in names)
        assert (min(low), max(high)) == (curve.values.min(), curve.values.max())


def test_a_place_off_the_steps_still_tells_its_step() -> None:
    hours = Line("a", "", np.array([10, 20]), np.array([1.0, 2.0]), np.array([0.5, 1.5]))
    spec = charts.lines([hours], TITLES, Look(axis=HOURS, clicks=True))
    table = spec["datasets"]["points"].to_pydict()
    assert (table["hours"], table["step"]) == ([0.5, 1.5], [10, 20])
    assert [param["name"] for param in spec["layer"][-1]["params"]] == ["near", charts.PICKED]


def test_a_place_before_the_first_run_begins_is_its_first_step() -> None:
    first, second = (
        Line(name, "", np.arange(1, 4), np.ones(3), np.arange(1, 4) * batch)
        for name, batch in (("a", 32.0), ("b", 16.0))
    )
    spec = charts.lines([first, second], TITLES, Look(axis=TRAJECTORIES, clicks=True), ["a", "b"])
    table = spec["datasets"]["points"].to_pydict()
    assert table["trajectories"] == [16, 32, 48, 64, 96]
    assert table["step"] == [1, 1, 1, 2, 3]


@pytest.mark.parametrize("axis", [TRAJECTORIES, HOURS])
def test_another_axis_is_other_data_for_the_same_chart(axis: Axis) -> None:
    steps, x = np.array([1, 2]), np.array([0.5, 1.5])
    curves = [
        charts.lines([Line("a", "", steps, steps / 2, places)], TITLES, Look(0.6, which))
        for which, places in ((STEP, None), (axis, x))
    ]
    wholes = [
        charts.stacked(steps.astype(float), {"a": steps / 2}, TITLES, which, places)
        for which, places in ((STEP, None), (axis, x))
    ]
    for of_steps, of_others in (curves, wholes):
        assert json_part(of_steps) == json_part(of_others)
        assert of_steps["datasets"] != of_others["datasets"]


@pytest.mark.parametrize(("values", "kind"), [((1.0, 10.0), "log"), ((0.0, 10.0), None)])
def test_only_what_is_above_0_has_a_logarithmic_scale(values: tuple[float, ...], kind: str | None) -> None:
    spec = charts.lines([line(values=values)], TITLES, Look(logarithmic=True))
    assert spec["layer"][0]["encoding"]["y"]["scale"].get("type") == kind


def test_parts_lie_upon_one_another_in_their_order() -> None:
    parts = {"below": np.array([1.0, 2.0]), "above": np.array([3.0, 4.0])}
    spec = charts.stacked(np.array([1.0, 2.0]), parts, TITLES)
    assert spec["datasets"]["parts"].to_pydict() == {"step": [1, 2], "part0": [1, 2], "part1": [3, 4]}
    assert ["part0", "part1"] in [transform.get("fold") for transform in spec["transform"]]
    made = [transform["as"] for transform in spec["transform"] if isinstance(transform["as"], str)]
    assert len(made) == len(set(made)), "what the pointer says would be overwritten"
    assert spec["encoding"]["color"]["scale"]["domain"] == ["below", "above"]


def test_a_run_has_its_colour_where_another_one_has_no_curve() -> None:
    spec = charts.lines([line("b")], TITLES, Look(), ["a", "b"])
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == ["a", "b"]


def test_names_stay_data() -> None:
    spec = charts.lines([line(HOSTILE, HOSTILE)], TITLES, Look(), [HOSTILE, "b"])
    assert HOSTILE not in fields(spec)
    assert spec["layer"][0]["encoding"]["color"]["scale"]["domain"] == [HOSTILE, "b"]


def test_the_heat_map_has_every_step_and_bin() -> None:
    shares = np.array([[1.0, 0.0], [0.25, 0.75]])
    spec = charts.heat_map(np.array([2, 4]), shares, TITLES)
    rows = spec["datasets"]["steps"].to_pydict()
    assert (rows["step"], rows["until"]) == ([2, 4], [4, 6])
    cells, mean = spec["layer"]
    fold, low, _, share = cells["transform"]
    assert fold["fold"] == ["bin0", "bin1"]
    assert "/ 2" in low["calculate"]
    whole = int(share["calculate"].split("/")[1])
    np.testing.assert_allclose(np.array([rows["bin0"], rows["bin1"]]).T / whole, shares, atol=1 / whole)
    np.testing.assert_allclose(rows[mean["encoding"]["y"]["field"]], [0.25, 0.25 * 0.25 + 0.75 * 0.75])


def test_a_heat_map_of_one_step_is_one_step_wide() -> None:
    rows = charts.heat_map(np.array([7]), np.array([[0.5, 0.5]]), TITLES)["datasets"]["steps"].to_pydict()
    assert (rows["step"], rows["until"]) == ([7], [8])


def test_a_history_is_in_the_order_of_its_steps() -> None:
    table = charts.prompt_history([visit(9, 0.0), visit(4, 1.0)], TITLES)["datasets"]["visits"].to_pydict()
    assert table["step"] == [4, 9]
    assert table["value"] == pytest.approx([2 / 3, 1 / 3])
    assert all(low < value < high for low, value, high in zip(table["low"], table["value"], table["high"], strict=True))


def test_estimates_have_their_intervals_and_references_their_names() -> None:
    points = [Estimate("a", 0, 0.3, 0.2, 0.4), Estimate("a", 10, 0.5, 0.4, 0.6), Estimate("b", 10, 0.4, 0.3, 0.5)]
    spec = estimates(points, {"SPO, published": 0.84, "GRPO, published": 0.83}, Titles("avg@8", "", "share"))
    assert spec["datasets"]["points"]["low"].to_pylist() == [0.2, 0.4, 0.3]
    assert spec["datasets"]["references"]["value"].to_pylist() == [0.84, 0.83]
    assert len(spec["layer"]) == 6
    alone = estimates(points[:2], {}, Titles("avg@8", "", "share"))
    assert alone["layer"][0]["encoding"]["color"]["legend"] is None
    assert "references" not in alone["datasets"]


def test_a_session_is_a_bar_of_its_authors_tokens() -> None:
    table = charts.session([Part("model", 3, "a"), Part("environment", 2, "b")])["datasets"]["parts"].to_pydict()
    assert (table["start"], table["end"]) == ([0, 3], [3, 5])


@pytest.mark.parametrize(("value", "n_eff"), [(0.25, 8.0), (0.5, 1.0), (0.99, 400.0), (0.01, 0.3)])
def test_a_belief_is_a_density_with_the_mean_that_the_tracker_has(value: float, n_eff: float) -> None:
    prompt = replace(PROMPT, value=value, n_eff=n_eff)
    table = charts.beta(prompt, TITLES)["datasets"]["density"].to_pydict()
    rate, density = np.array(table["rate"]), np.array(table["density"])
    if n_eff >= 2:
        assert density.mean() == pytest.approx(1, abs=0.02)
        assert (rate * density).mean() == pytest.approx(value, abs=0.02)
    assert np.isfinite(density).all()


def test_bars_outside_the_chosen_range_are_pale() -> None:
    table = charts.rewards(np.array([3, 0, 1, 1]), (0.25, 0.5), TITLES)["datasets"]["bins"].to_pydict()
    assert table["inside"] == [False, True, False, False]
