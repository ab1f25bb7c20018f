"""Charts, as Vega-Lite specifications with their data. Colours and fonts are the theme's, light or dark.

Names of runs and metrics enter as data, as a scale's domain and as plain titles only, which Vega draws as text; the
fields have fixed names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from verl_spo.core.interval import wilson_interval
from verl_spo.store.queries import ObservationRow
from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.series import smooth, thin

Spec = dict[str, Any]

HEIGHT = 270
# Up to so many points are marked: of what is measured now and then, and of curves that have hardly begun.
_FEW_POINTS = 40
_FEWEST_POINTS = 3
_FAINT = 0.22
# Readable on both backgrounds; the theme has no colour for it.
_SUBTITLE_COLOR = "#76808c"
_SCALE_0_1 = {"domain": [0, 1]}


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


@dataclass(frozen=True)
class Titles:
    """A chart's words: what it shows, how exactly, and the unit on its vertical axis."""

    title: str
    subtitle: str
    axis: str


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
    smoothed = _y("smoothed", titles.axis, {"zero": False})
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
        layers.insert(0, {"mark": faint, "encoding": {"y": _y("value", titles.axis, {"zero": False})}})
    encoding = {"x": _x(), **_line_colors(runs, parts)}
    return _chart(
        titles, {"points": _points(curves, weight)}, {"data": {"name": "points"}, "encoding": encoding, "layer": layers}
    )


def legend(runs: Sequence[str]) -> Spec:
    """Which colour is whose, once for all charts of a page."""
    shown = {
        **_LEGEND,
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


def heat_map(steps: IntArray, shares: FloatArray, titles: Titles) -> Spec:
    """How v_hat is spread over the pool, by step; the line is its mean.

    Args:
        steps: (n,) ascending, at least one.
        shares: Of the pool in each of equal bins of v_hat over [0, 1], (n, bins).
        titles: Words around them.
    """
    count, bins = shares.shape
    edges = np.append(steps, steps[-1] + (steps[-1] - steps[-2] if count > 1 else 1))
    low = np.tile(np.arange(bins) / bins, count)
    cells = {
        "step": np.repeat(edges[:-1], bins),
        "until": np.repeat(edges[1:], bins),
        "low": low,
        "high": low + 1 / bins,
        "share": shares.ravel(),
    }
    means = {"step": (edges[:-1] + edges[1:]) / 2, "mean": shares @ ((np.arange(bins) + 0.5) / bins)}
    color = {
        "field": "share",
        "type": "quantitative",
        # Shares are small but for the prior, which puts the whole pool into one bin. Fixed ends keep a colour's meaning
        # from step to step and from run to run.
        "scale": {"type": "pow", "exponent": 0.4, "domain": [0, 1]},
        "legend": {"title": None, "format": ".0%", "gradientLength": HEIGHT - 120, "values": [0, 0.05, 0.2, 0.5, 1]},
    }
    tooltip = [
        _tip("step", "step", "d"),
        _tip("low", "v̂ from", ".2f"),
        _tip("high", "to", ".2f"),
        _tip("share", "share of the pool", ".1%"),
    ]
    rectangles = {
        "data": {"name": "cells"},
        "mark": "rect",
        "encoding": {
            "x": _x(),
            "x2": {"field": "until"},
            "y": _y("low", titles.axis, _SCALE_0_1),
            "y2": {"field": "high"},
            "color": color,
            "tooltip": tooltip,
        },
    }
    mean = {
        "data": {"name": "means"},
        "mark": {"type": "line", "strokeWidth": 2, "color": "#e69f00", "tooltip": None},
        "encoding": {"x": _x(), "y": _y("mean", titles.axis, _SCALE_0_1)},
    }
    return _chart(titles, {"cells": pa.table(cells), "means": pa.table(means)}, {"layer": [rectangles, mean]})


def prompt_history(history: Iterable[ObservationRow], titles: Titles) -> Spec:
    """One prompt's rewards, v_hat after each, and its 90 % interval; superseded observations are crosses."""
    rows = sorted(history, key=lambda row: (row.step, row.attempt, row.seq))
    low, high = wilson_interval([row.value for row in rows], [row.alpha + row.beta for row in rows])
    visits = {
        "step": [row.step for row in rows],
        "reward": [row.reward for row in rows],
        "value": [row.value for row in rows],
        "low": low,
        "high": high,
        "superseded": [row.superseded for row in rows],
    }
    counting = [{"filter": "!datum.superseded"}]
    band = {
        "transform": counting,
        "mark": {"type": "area", "opacity": 0.18, "interpolate": "step-after", "tooltip": None},
        "encoding": {"y": _y("low", titles.axis, _SCALE_0_1), "y2": {"field": "high"}},
    }
    values = {
        "transform": counting,
        "mark": {"type": "line", "strokeWidth": 2, "interpolate": "step-after", "tooltip": None},
        "encoding": {"y": _y("value", titles.axis, _SCALE_0_1)},
    }
    shapes = {"domain": [False, True], "range": ["circle", "cross"]}
    rewards = {
        "mark": {"type": "point", "size": 55, "strokeWidth": 1.5},
        "encoding": {
            "y": _y("reward", titles.axis, _SCALE_0_1),
            "shape": {"field": "superseded", "type": "nominal", "scale": shapes, "legend": None},
            "opacity": {"condition": {"test": "datum.superseded", "value": 0.5}, "value": 0.9},
            "tooltip": [
                _tip("step", "step", "d"),
                _tip("reward", "reward", ".3~f"),
                _tip("value", "v̂ after it", ".3f"),
                _tip("low", "90 % from", ".2f"),
                _tip("high", "to", ".2f"),
                {"field": "superseded", "type": "nominal"},
            ],
        },
    }
    body = {"data": {"name": "visits"}, "encoding": {"x": _x()}, "layer": [band, values, rewards]}
    return _chart(titles, {"visits": pa.table(visits)}, body)


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


_LEGEND: Spec = {"title": None, "symbolOpacity": 1, "padding": 0, "offset": 4, "labelOffset": 2}


def _line_colors(runs: Sequence[str], parts: Sequence[str]) -> Spec:
    """One colour a run, or a part where there is one run; dashes tell parts apart in either case."""
    shown = (
        {**_LEGEND, "orient": "top", "columns": 3, "symbolType": "stroke", "labelLimit": 110}
        if len(parts) > 1
        else None
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
    averages = [_tip("smoothed", "smoothed", ".4~g")] if smoothed else []
    return [*names, _tip("step", "step", "d"), _tip("value", "value", ".4~g"), *averages]


def _nearest_step() -> Spec:
    select = {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout", "fields": ["step"]}
    return {"name": "near", "select": select}


def _x() -> Spec:
    axis = {"format": "d", "tickMinStep": 1, "tickCount": 6, "titlePadding": 4, "labelPadding": 6}
    return {
        "field": "step",
        "type": "quantitative",
        "title": "step",
        "axis": axis,
        "scale": {"zero": False, "nice": False},
    }


def _y(field: str, title: str, scale: Spec) -> Spec:
    axis = {"titlePadding": 8, "labelPadding": 6, "tickCount": 5}
    return {"field": field, "type": "quantitative", "title": title, "axis": axis, "scale": scale}


def _tip(field: str, title: str, form: str) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "format": form}


def _chart(titles: Titles, datasets: dict[str, pa.Table], body: Spec) -> Spec:
    title = {"text": titles.title, "subtitle": titles.subtitle, "subtitleColor": _SUBTITLE_COLOR, "offset": 10}
    return {"title": title, "height": HEIGHT, "datasets": datasets, **body}
