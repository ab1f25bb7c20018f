"""Curves over training steps, and the legend of a page of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.charts.spec import LEGEND, Spec, Titles, chart, step_axis, tip, value_axis
from verl_spo_dashboard.series import smooth, thin

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
        steps: (n,) ascending.
        values: (n,); NaN is passed over.
    """

    run: str
    part: str
    steps: IntArray
    values: FloatArray


def lines(curves: Sequence[Line], titles: Titles, weight: float = 0.0, runs: Sequence[str] = ()) -> Spec:
    """Curves over steps; with smoothing, the values themselves stand faintly behind.

    Args:
        curves: At least one.
        titles: Words around them.
        weight: Of the past, in smoothing: [0, 1).
        runs: All runs on the page: each has its colour in every chart (`legend` names them).
    """
    parts = list(dict.fromkeys(curve.part for curve in curves))
    shown = 1 if max(curve.steps.size for curve in curves) <= (_FEWEST_POINTS if weight else _FEW_POINTS) else 0
    smoothed = value_axis("smoothed", titles.axis, {"zero": False})
    layers: list[Spec] = [
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": smoothed}},
        {
            "mark": {"type": "point", "filled": True, "size": 36, "strokeDash": []},
            "params": [_nearest_step()],
            "encoding": {
                "y": smoothed,
                "opacity": {"condition": {"param": "near", "empty": False, "value": 1}, "value": shown},
                "tooltip": _line_tooltip(len(runs) > 1, len(parts) > 1, weight > 0),
            },
        },
    ]
    if weight:
        faint = {"type": "line", "strokeWidth": 1, "opacity": _FAINT}
        layers.insert(0, {"mark": faint, "encoding": {"y": value_axis("value", titles.axis, {"zero": False})}})
    encoding = {"x": step_axis(), **_line_colors(runs, parts)}
    return chart(
        titles, {"points": _points(curves, weight)}, {"data": {"name": "points"}, "encoding": encoding, "layer": layers}
    )


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


def _points(curves: Iterable[Line], weight: float) -> pa.Table:
    columns: dict[str, list[object]] = {"step": [], "value": [], "smoothed": [], "run": [], "part": []}
    for curve in curves:
        smoothed = smooth(curve.values, weight)
        kept = thin(curve.steps.size)
        columns["step"] += curve.steps[kept].tolist()
        columns["value"] += _numbers(curve.values[kept])
        columns["smoothed"] += _numbers(smoothed[kept])
        columns["run"] += [curve.run] * kept.size
        columns["part"] += [curve.part] * kept.size
    return pa.table(columns)


def _numbers(values: FloatArray) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _line_colors(runs: Sequence[str], parts: Sequence[str]) -> Spec:
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


def _line_tooltip(several_runs: bool, several_parts: bool, smoothed: bool) -> list[Spec]:
    names = [{"field": "run", "type": "nominal"}] if several_runs else []
    names += [{"field": "part", "type": "nominal", "title": "curve"}] if several_parts else []
    averages = [tip("smoothed", "smoothed", ".4~g")] if smoothed else []
    return [*names, tip("step", "step", "d"), tip("value", "value", ".4~g"), *averages]


def _nearest_step() -> Spec:
    select = {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout", "fields": ["step"]}
    return {"name": "near", "select": select}
