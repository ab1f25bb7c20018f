"""Curves, and the legend of a page of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.charts.spec import LEGEND, STEP, Axis, Spec, Titles, across, chart, tip, value_axis
from verl_spo_dashboard.series import extremes, smooth, thin

PICKED = "picked"
"""Name of the selection that a click makes: of the field `step`."""

# Up to so many points are marked: of what is measured now and then, and of curves that have hardly begun.
_FEW_POINTS = 40
_FEWEST_POINTS = 3
_FAINT = 0.22


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        run: Whose.
        part: Which of the run's curves in the same chart; empty if there is one.
        steps: (n,) ascending, n at least 1.
        values: (n,); NaN is passed over.
        x: (n,) where the points stand; the steps, if it is None.
    """

    run: str
    part: str
    steps: IntArray
    values: FloatArray
    x: FloatArray | None = None

    @property
    def places(self) -> FloatArray:
        """Where the points stand."""
        return self.steps.astype(np.float64) if self.x is None else self.x


@dataclass(frozen=True)
class Look:
    """How curves are drawn.

    Attributes:
        weight: Of the past, in smoothing: [0, 1).
        axis: What the horizontal axis counts.
        logarithmic: Whether the vertical scale is, of charts whose numbers are all above 0.
        clicks: Whether a click picks a step.
    """

    weight: float = 0.0
    axis: Axis = STEP
    logarithmic: bool = False
    clicks: bool = False


@dataclass(frozen=True)
class _Drawn:
    """A curve as its chart has it, (n,) each; `low` and `high` are those of the points that thinning left out."""

    line: Line
    x: FloatArray
    steps: IntArray
    values: FloatArray
    smoothed: FloatArray
    low: FloatArray
    high: FloatArray
    thinned: bool


def lines(curves: Sequence[Line], titles: Titles, look: Look = Look(), runs: Sequence[str] = ()) -> Spec:
    """Curves; with smoothing, the values themselves stand faintly behind, and where points are left out, their range.

    Args:
        curves: At least one.
        titles: Words around them.
        look: How they are drawn.
        runs: All runs on the page: each has its colour in every chart (`legend` names them).
    """
    drawn = [_drawn(curve, look.weight) for curve in curves]
    parts = list(dict.fromkeys(curve.part for curve in curves))
    colors = _colors(runs, parts)
    layers = [
        {"data": {"name": "points"}, "mark": mark, "encoding": {**encoding, **colors}}
        for mark, encoding in _marks(drawn, titles.axis, look)
    ]
    pointer = _pointer(drawn, len(runs) > 1, len(parts) > 1, look)
    body = {"encoding": {"x": across(look.axis)}, "layer": [*layers, pointer]}
    return chart(titles, {"points": _points(drawn), "hover": _hover(drawn, look)}, body)


def legend(runs: Sequence[str]) -> Spec:
    """Which colour is whose, once for all charts of a page."""
    shown = {
        **LEGEND,
        "orient": "top",
        "columns": 4,
        "labelLimit": 280,
        "symbolType": "stroke",
        "symbolStrokeWidth": 3,
    }
    rows = -(-len(runs) // 4)
    return {
        "height": 16 + 22 * rows,
        "datasets": {"runs": pa.table({"run": list(runs)})},
        "data": {"name": "runs"},
        "mark": {"type": "point", "opacity": 0, "tooltip": None},
        "encoding": {"color": {"field": "run", "type": "nominal", "scale": {"domain": list(runs)}, "legend": shown}},
    }


def _drawn(line: Line, weight: float) -> _Drawn:
    kept = thin(line.steps.size)
    low, high = extremes(line.values, kept)
    return _Drawn(
        line,
        line.places[kept],
        line.steps[kept],
        line.values[kept],
        smooth(line.values, weight)[kept],
        low,
        high,
        thinned=kept.size < line.steps.size,
    )


def _marks(drawn: Sequence[_Drawn], title: str, look: Look) -> Iterator[tuple[Spec, Spec]]:
    """Marks with the numbers on their vertical axis, those behind first."""
    above_0 = all(np.nanmin(each.values) > 0 for each in drawn)
    scale: Spec = {"type": "log", "nice": False} if look.logarithmic and above_0 else {"zero": False}
    if any(each.thinned for each in drawn):
        band = {"y": value_axis("low", title, scale), "y2": {"field": "high"}}
        yield {"type": "area", "opacity": _FAINT, "tooltip": None}, band
    elif look.weight:
        yield {"type": "line", "strokeWidth": 1, "opacity": _FAINT}, {"y": value_axis("value", title, scale)}
    y = {"y": value_axis("smoothed", title, scale)}
    yield {"type": "line", "strokeWidth": 2}, y
    few = _FEWEST_POINTS if look.weight else _FEW_POINTS
    if max(each.x.size for each in drawn) <= few:
        yield {"type": "point", "filled": True, "size": 36, "strokeDash": []}, y


def _points(drawn: Sequence[_Drawn]) -> pa.Table:
    """What the marks need: each byte of it travels to the browser again at every step of a run that trains."""
    needed = ("x", "smoothed", "low", "high") if any(each.thinned for each in drawn) else ("x", "smoothed", "values")
    numbers = {name: _single(np.concatenate([getattr(each, name) for each in drawn])) for name in needed}
    if "values" in numbers:
        numbers["value"] = numbers.pop("values")
    places = np.repeat(np.arange(len(drawn), dtype=np.int8), [each.x.size for each in drawn])
    names = {
        name: pa.DictionaryArray.from_arrays(places, [getattr(each.line, name) for each in drawn])
        for name in ("run", "part")
    }
    return pa.table({**numbers, **names})


def _hover(drawn: Sequence[_Drawn], look: Look) -> pa.Table:
    """What stands at each place, of every curve: its value there, or its last one before."""
    x = np.unique(np.concatenate([each.x for each in drawn]))
    x = x[thin(x.size)]
    columns = {"x": x, "step": _at(x, drawn[0].x, drawn[0].steps.astype(np.float64))}
    columns |= {f"c{number}": _at(x, each.x, each.smoothed) for number, each in enumerate(drawn)}
    if len(drawn) == 1 and look.weight:
        columns["value"] = _at(x, drawn[0].x, drawn[0].values)
    return pa.table({name: _single(values) for name, values in columns.items()})


def _at(x: FloatArray, places: FloatArray, values: FloatArray) -> FloatArray:
    found = np.searchsorted(places, x, side="right") - 1
    return np.where(found >= 0, values[np.maximum(found, 0)], np.nan)


def _single(values: FloatArray) -> pa.Array:
    """Half as many bytes as the values have, none of them NaN: charts show fewer digits than that."""
    return pa.array(values.astype(np.float32), from_pandas=True)


def _pointer(drawn: Sequence[_Drawn], several_runs: bool, several_parts: bool, look: Look) -> Spec:
    """A rule under the pointer that says what all curves are there."""
    near = {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout", "fields": ["x"]}
    picked = {"type": "point", "nearest": True, "on": "click", "fields": ["step"]}
    params = [{"name": "near", "select": near}, *([{"name": PICKED, "select": picked}] if look.clicks else [])]
    names = [_name(each.line, several_runs, several_parts) or "value" for each in drawn]
    places = [] if look.axis == STEP else [tip("x", look.axis.title, look.axis.form)]
    values = [tip(f"c{number}", name, ".4~g") for number, name in enumerate(names)]
    if len(drawn) == 1 and look.weight:
        values = [tip("value", "value", ".4~g"), tip("c0", "smoothed", ".4~g")]
    return {
        "data": {"name": "hover"},
        "mark": {"type": "rule", "cursor": "pointer" if look.clicks else "default"},
        "params": params,
        "encoding": {
            "opacity": {"condition": {"param": "near", "empty": False, "value": 0.35}, "value": 0},
            "tooltip": [tip("step", "step", "d"), *places, *values],
        },
    }


def _name(line: Line, several_runs: bool, several_parts: bool) -> str:
    return " · ".join([*([line.run] if several_runs else []), *([line.part] if several_parts else [])])


def _colors(runs: Sequence[str], parts: Sequence[str]) -> Spec:
    """One colour a run, or a part where there is one run; dashes tell parts apart in either case."""
    shown = (
        {**LEGEND, "orient": "top", "columns": 3, "symbolType": "stroke", "labelLimit": 110} if len(parts) > 1 else None
    )
    part = {"field": "part", "type": "nominal", "scale": {"domain": list(parts)}, "legend": shown}
    if len(runs) <= 1:
        return {"color": part, "strokeDash": part}
    return {
        "color": {"field": "run", "type": "nominal", "scale": {"domain": list(runs)}, "legend": None},
        "strokeDash": part,
    }
