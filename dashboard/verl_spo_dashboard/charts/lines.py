"""Curves, and the legend of a page of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.charts.progress import SAID, STEP, UNTIL, Axis, X, columns, found, progress_axis, single
from verl_spo_dashboard.charts.spec import DENSE, LEGEND, Spec, Titles, chart, tip, upwards
from verl_spo_dashboard.series import extremes, smooth, thin

PICKED = "picked"
"""Name of the selection that a click makes."""

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
    """A curve as its chart has it: at the chart's places, (places,) each, NaN where it has no point.

    Attributes:
        line: The curve.
        smoothed: Its values, smoothed.
        values: Its values.
        low: The least value from here to the next place.
        high: The greatest one.
        latest: The smoothed value here, or else at the last place before that has one.
    """

    line: Line
    smoothed: FloatArray
    values: FloatArray
    low: FloatArray
    high: FloatArray
    latest: FloatArray

    @property
    def whole(self) -> bool:
        """Whether it has a point at every place."""
        return np.array_equal(self.smoothed, self.latest, equal_nan=True)


def lines(curves: Sequence[Line], titles: Titles, look: Look = Look(), runs: Sequence[str] = ()) -> Spec:
    """Curves; with smoothing, the values themselves stand faintly behind, and where points are left out, their range.

    Args:
        curves: At least one.
        titles: Words around them.
        look: How they are drawn.
        runs: All runs on the page: each has its colour in every chart (`legend` names them).
    """
    union = np.unique(np.concatenate([curve.places for curve in curves]))
    kept = thin(union.size)
    places, ends = union[kept], union[np.append(kept[1:], union.size) - 1]
    drawn = [_drawn(curve, places, look.weight) for curve in curves]
    back = _back(places.size < union.size, look.weight)
    parts = list(dict.fromkeys(curve.part for curve in curves))
    few = places.size <= (_FEWEST_POINTS if look.weight else _FEW_POINTS)
    marked: Spec = {
        "encoding": {"y": upwards(titles.axis, _scale(drawn, look)), **_colors(runs, parts)},
        "layer": [
            {"mark": mark, "encoding": {**numbers, **_color(each.line, runs, parts)}}
            for marks in zip(*(_marks(number, each, back, few) for number, each in enumerate(drawn)), strict=True)
            for each, (mark, numbers) in zip(drawn, marks, strict=True)
        ],
    }
    pointer = _pointer(drawn, back, _names(drawn, len(runs) > 1, len(parts) > 1), look)
    body: Spec = {
        "data": {"name": "points"},
        "transform": found(),
        "encoding": {"x": progress_axis("points")},
        "layer": [marked, *pointer],
        **DENSE,
    }
    if len(parts) > 1:
        body["resolve"] = {"legend": {"color": "independent", "strokeDash": "independent"}}
        body["layer"].append(_parts_legend(runs, parts))
    return chart(titles, {"points": _points(drawn, places, ends, back, look)}, body)


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


def _drawn(line: Line, places: FloatArray, weight: float) -> _Drawn:
    """A curve at the places of its chart: each of its points counts where the last place before it is."""
    found, kept = np.unique(np.searchsorted(places, line.places, side="right") - 1, return_index=True)
    smoothed = smooth(line.values, weight)[kept]

    def spread(values: FloatArray) -> FloatArray:
        everywhere = np.full(places.size, np.nan)
        everywhere[found] = values
        return everywhere

    low, high = extremes(line.values, kept)
    before = np.searchsorted(found, np.arange(places.size), side="right") - 1
    latest = np.where(before >= 0, smoothed[before], np.nan)
    return _Drawn(line, spread(smoothed), spread(line.values[kept]), spread(low), spread(high), latest)


def _back(thinned: bool, weight: float) -> tuple[str, ...]:
    """What stands faintly behind a curve: the range of what was left out, the values that were smoothed, or nothing."""
    return ("low", "high") if thinned else ("values",) if weight else ()


def _marks(number: int, drawn: _Drawn, back: Sequence[str], few: bool) -> Iterator[tuple[Spec, Spec]]:
    """A curve's marks with the numbers on their vertical axis, those behind first."""
    # A curve goes on over the places where others have points; it is broken where it has no number itself.
    gaps: Spec = {} if drawn.whole else {"invalid": "filter"}
    ends = [{"field": f"{name}{number}"} for name in back]
    if len(ends) == 2:
        yield {"type": "area", "opacity": _FAINT, "tooltip": None, **gaps}, {"y": ends[0], "y2": ends[1]}
    elif ends:
        yield {"type": "line", "strokeWidth": 1, "opacity": _FAINT, **gaps}, {"y": ends[0]}
    y = {"y": {"field": f"smoothed{number}"}}
    yield {"type": "line", "strokeWidth": 2, **gaps}, y
    if few:
        yield {"type": "point", "filled": True, "size": 36, "strokeDash": [], **gaps}, y


def _scale(drawn: Sequence[_Drawn], look: Look) -> Spec:
    above_0 = all(np.nanmin(each.line.values) > 0 for each in drawn)
    return {"type": "log", "nice": False} if look.logarithmic and above_0 else {"zero": False}


def _points(drawn: Sequence[_Drawn], places: FloatArray, ends: FloatArray, back: Sequence[str], look: Look) -> pa.Table:
    """What the marks and the pointer need: each byte travels again at every step of a run that trains."""
    data = columns(look.axis, *_steps(drawn[0].line, places, ends, look.axis), places)
    for number, each in enumerate(drawn):
        needed = ("smoothed", *back, *([] if each.whole else ["latest"]))
        data |= {f"{name}{number}": single(getattr(each, name)) for name in needed}
    return pa.table(data)


def _steps(first: Line, places: FloatArray, ends: FloatArray, axis: Axis) -> tuple[FloatArray, FloatArray]:
    """The first and the last step of each place, (places,) each; those of the first curve, where places are no steps.

    Args:
        first: The first curve of the chart.
        places: Where the chart has points.
        ends: The last place that any curve has before the next of these.
        axis: What places count.
    """
    if axis == STEP:
        return places, ends
    # Before the curve begins, a place belongs to its first step: a click leads somewhere.
    begins = np.maximum(np.searchsorted(first.places, places, side="right") - 1, 0)
    until = np.maximum(np.searchsorted(first.places, ends, side="right") - 1, begins)
    return first.steps[begins].astype(np.float64), first.steps[until].astype(np.float64)


def _pointer(drawn: Sequence[_Drawn], back: Sequence[str], names: Sequence[str], look: Look) -> list[Spec]:
    """A rule under the pointer, and a strip per place that takes the pointer and says what all curves are there."""
    near = {"type": "point", "on": "pointerover", "clear": "pointerout", "fields": [X]}
    picked = {"type": "point", "on": "click", "fields": [STEP.field, UNTIL]}
    params = [{"name": "near", "select": near}, *([{"name": PICKED, "select": picked}] if look.clicks else [])]
    numbers = enumerate(zip(drawn, names, strict=True))
    values = [
        tip(f"{'smoothed' if each.whole else 'latest'}{number}", name, ".4~g") for number, (each, name) in numbers
    ]
    if len(drawn) == 1 and look.weight:
        words = {"values": "value", "low": "least", "high": "greatest"}
        values = [*(tip(f"{name}0", words[name], ".4~g") for name in back), {**values[0], "title": "smoothed"}]
    rule: Spec = {
        "transform": [{"filter": {"param": "near", "empty": False}}],
        "mark": {"type": "rule", "opacity": 0.35},
    }
    # Vega's own way to the nearest place draws a cell for each and says everything twice.
    width = {"expr": f"width / {max(drawn[0].smoothed.size - 1, 1)}"}
    strips: Spec = {
        "mark": {"type": "rule", "opacity": 0, "strokeWidth": width, "cursor": "pointer" if look.clicks else "default"},
        "params": params,
        "encoding": {"tooltip": [SAID, *values]},
    }
    return [rule, strips]


def _names(drawn: Sequence[_Drawn], several_runs: bool, several_parts: bool) -> list[str]:
    """What the pointer calls the curves."""
    told = [([each.line.run] if several_runs else [], [each.line.part] if several_parts else []) for each in drawn]
    return [" · ".join([*run, *part]) or "value" for run, part in told]


def _colors(runs: Sequence[str], parts: Sequence[str]) -> Spec:
    """One colour a run, or a part where there is one run; dashes tell parts apart in either case."""
    if len(runs) <= 1 and len(parts) == 1:
        return {}
    names = parts if len(runs) <= 1 else runs
    color = {"color": {"type": "nominal", "scale": {"domain": list(names)}, "legend": None}}
    if len(parts) == 1:
        return color
    return {**color, "strokeDash": {"type": "nominal", "scale": {"domain": list(parts)}, "legend": None}}


def _parts_legend(runs: Sequence[str], parts: Sequence[str]) -> Spec:
    """Which line is which part's: a layer that draws nothing, since what several fields share has one legend."""
    shown = {**LEGEND, "orient": "top", "columns": 3, "symbolType": "stroke", "labelLimit": 110}
    part = {"field": "part", "type": "nominal", "scale": {"domain": list(parts)}, "legend": shown}
    return {
        "data": {"values": [{"part": name} for name in parts]},
        "mark": {"type": "point", "opacity": 0, "tooltip": None},
        "encoding": {"strokeDash": part, **({"color": part} if len(runs) <= 1 else {})},
    }


def _color(line: Line, runs: Sequence[str], parts: Sequence[str]) -> Spec:
    """Which of them is a curve's."""
    if len(runs) <= 1 and len(parts) == 1:
        return {}
    color = {"color": {"datum": line.part if len(runs) <= 1 else line.run}}
    return color if len(parts) == 1 else {**color, "strokeDash": {"datum": line.part}}
