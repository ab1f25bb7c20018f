"""How the values of the pool are spread, over training steps."""

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.charts.spec import (
    DENSE,
    FROM_0_TO_1,
    HEIGHT,
    OVER,
    Spec,
    Titles,
    chart,
    step_axis,
    tip,
    value_axis,
)

_WHOLE = 65_535
"""Parts of the pool that shares are told in: two bytes."""


def heat_map(steps: IntArray, shares: FloatArray, titles: Titles) -> Spec:
    """How v_hat is spread over the pool, by step; the line is its mean.

    Args:
        steps: (n,) ascending, at least one.
        shares: Of the pool in each of equal bins of v_hat over [0, 1], (n, bins).
        titles: Words around them.
    """
    count, bins = shares.shape
    edges = np.append(steps, steps[-1] + (steps[-1] - steps[-2] if count > 1 else 1)).astype(np.int32)
    # A row a step and two bytes a cell: thousands of cells travel to the browser at each look, which parts them.
    fields = [f"bin{number}" for number in range(bins)]
    columns = {"step": edges[:-1], "until": edges[1:], "mean": (shares @ middles(bins)).astype(np.float32)}
    columns |= dict(zip(fields, (shares * _WHOLE).round().astype(np.uint16).T, strict=True))
    apart = [
        {"fold": fields, "as": ["bin", "parts"]},
        {"calculate": f"toNumber(slice(datum.bin, 3)) / {bins}", "as": "low"},
        {"calculate": f"datum.low + {1 / bins}", "as": "high"},
        {"calculate": f"datum.parts / {_WHOLE}", "as": "share"},
    ]
    color = {
        "field": "share",
        "type": "quantitative",
        # Shares are small but for the prior, which puts the whole pool into one bin. Fixed ends keep a colour's meaning
        # from step to step and from run to run.
        "scale": {"type": "pow", "exponent": 0.4, **FROM_0_TO_1},
        "legend": {"title": None, "format": ".0%", "gradientLength": HEIGHT - 120, "values": [0, 0.05, 0.2, 0.5, 1]},
    }
    tooltip = [
        tip("step", "step", "d"),
        tip("low", "v̂ from", ".2f"),
        tip("high", "to", ".2f"),
        tip("share", "share of the pool", ".1%"),
    ]
    rectangles = {
        "transform": apart,
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
        "transform": [{"calculate": "(datum.step + datum.until) / 2", "as": "middle"}],
        "mark": {"type": "line", "strokeWidth": 2, "color": OVER, "tooltip": None},
        "encoding": {"x": step_axis("middle"), "y": value_axis("mean", titles.axis, FROM_0_TO_1)},
    }
    return chart(
        titles, {"steps": pa.table(columns)}, {"data": {"name": "steps"}, "layer": [rectangles, mean], **DENSE}
    )


def middles(bins: int) -> FloatArray:
    """Of equal bins over [0, 1], (bins,)."""
    return (np.arange(bins) + 0.5) / bins
