"""How the values of the pool are spread, over training steps."""

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.charts.spec import FROM_0_TO_1, HEIGHT, Spec, Titles, chart, step_axis, tip, value_axis


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
    # Thousands of cells travel to the browser at each look: half as many bytes as numpy's own.
    cells = {
        "step": np.repeat(edges[:-1], bins).astype(np.int32),
        "until": np.repeat(edges[1:], bins).astype(np.int32),
        "low": low.astype(np.float32),
        "high": (low + 1 / bins).astype(np.float32),
        "share": shares.ravel().astype(np.float32),
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
        tip("step", "step", "d"),
        tip("low", "v̂ from", ".2f"),
        tip("high", "to", ".2f"),
        tip("share", "share of the pool", ".1%"),
    ]
    rectangles = {
        "data": {"name": "cells"},
        "mark": "rect",
        "encoding": {
            "x": step_axis(),
            "x2": {"field": "until"},
            "y": value_axis("low", titles.axis, FROM_0_TO_1),
            "y2": {"field": "high"},
            "color": color,
            "tooltip": tooltip,
        },
    }
    mean = {
        "data": {"name": "means"},
        "mark": {"type": "line", "strokeWidth": 2, "color": "#e69f00", "tooltip": None},
        "encoding": {"x": step_axis(), "y": value_axis("mean", titles.axis, FROM_0_TO_1)},
    }
    return chart(titles, {"cells": pa.table(cells), "means": pa.table(means)}, {"layer": [rectangles, mean]})
