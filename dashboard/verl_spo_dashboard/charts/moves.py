"""How many prompts became easier, and how many harder."""

import numpy as np
import pyarrow as pa

from verl_spo.store.records import IntArray
from verl_spo_dashboard.charts.spec import LEGEND, Spec, Titles, chart, tip, value_axis

EASIER, HARDER = "became easier", "became harder"


def moves(first: IntArray, last: IntArray, easier: IntArray, harder: IntArray, titles: Titles) -> Spec:
    """Moves between classes by window of steps, (n,) each: those to an easier class upwards, the others downwards."""
    table = pa.table(
        {
            "first": np.tile(first, 2),
            "until": np.tile(last + 1, 2),
            "last": np.tile(last, 2),
            "count": np.concatenate([easier, harder]),
            "height": np.concatenate([easier, -harder]),
            "way": [EASIER] * first.size + [HARDER] * first.size,
        }
    )
    axis = {"format": "d", "tickMinStep": 1, "tickCount": 6}
    encoding = {
        "x": {
            "field": "first", "type": "quantitative", "bin": "binned", "title": "step", "axis": axis,
            "scale": {"zero": False, "nice": False},
        },
        "x2": {"field": "until"},
        "y": {**value_axis("height", titles.axis, {"zero": True}), "stack": None},
        "color": {
            "field": "way", "type": "nominal", "scale": {"domain": [EASIER, HARDER]},
            "legend": {**LEGEND, "orient": "top", "symbolType": "square"},
        },
        "tooltip": [
            tip("first", "steps from", "d"), tip("last", "to", "d"), {"field": "way", "type": "nominal"},
            tip("count", "prompts", ",d"),
        ],
    }  # fmt: skip
    body = {"data": {"name": "moves"}, "mark": {"type": "bar", "binSpacing": 1}, "encoding": encoding}
    return chart(titles, {"moves": table}, body)
