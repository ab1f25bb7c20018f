"""How many prompts became easier, and how many harder."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from verl_spo.store.records import IntArray
from verl_spo_dashboard.charts.spec import LEGEND, Spec, Titles, chart, tip, value_axis

# Blues for what became easier, oranges for what became harder; the farther, the darker.
_EASIER, _HARDER = ("#8ec1e3", "#4a90c2", "#0072b2"), ("#f3c77f", "#e69f00", "#a86f00")


def moves(
    first: IntArray, last: IntArray, easier: Mapping[str, IntArray], harder: Mapping[str, IntArray], titles: Titles
) -> Spec:
    """Moves between classes by window of steps: those to an easier class upwards, the others downwards.

    Args:
        first: The first step of each window, (n,).
        last: The last one.
        easier: Prompts that made each of up to three moves, (n,), by its name; those that went farthest last.
        harder: Likewise.
        titles: Words around them.
    """
    columns = {**easier, **harder}
    counts = np.concatenate(list(columns.values()))
    down = np.repeat([name in harder for name in columns], first.size)
    table = pa.table(
        {
            "first": np.tile(first, len(columns)),
            "until": np.tile(last + 1, len(columns)),
            "last": np.tile(last, len(columns)),
            "count": counts,
            "height": np.where(down, -counts, counts),
            "move": np.repeat(list(columns), first.size),
        }
    )
    axis = {"format": "d", "tickMinStep": 1, "tickCount": 6}
    colors = [*_EASIER[: len(easier)], *_HARDER[: len(harder)]]
    encoding = {
        "x": {
            "field": "first", "type": "quantitative", "bin": "binned", "title": "step", "axis": axis,
            "scale": {"zero": False, "nice": False},
        },
        "x2": {"field": "until"},
        "y": {**value_axis("height", titles.axis, {"zero": True}), "stack": "zero"},
        "color": {
            "field": "move", "type": "nominal", "scale": {"domain": list(columns), "range": colors},
            "legend": {**LEGEND, "orient": "top", "columns": 3, "symbolType": "square", "labelLimit": 150},
        },
        "tooltip": [
            tip("first", "steps from", "d"), tip("last", "to", "d"), {"field": "move", "type": "nominal"},
            tip("count", "prompts", ",d"),
        ],
    }  # fmt: skip
    body = {"data": {"name": "moves"}, "mark": {"type": "bar", "binSpacing": 1}, "encoding": encoding}
    return chart(titles, {"moves": table}, body)
