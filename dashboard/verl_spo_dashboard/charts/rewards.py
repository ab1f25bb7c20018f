"""How rewards are spread."""

import numpy as np
import pyarrow as pa

from verl_spo.store.records import IntArray
from verl_spo_dashboard.charts.spec import FROM_0_TO_1, Spec, Titles, chart, tip, value_axis

CHOSEN = "chosen"
"""Name of the selection that a click on a bar makes: of the fields `low` and `high`."""

_HEIGHT = 190


def rewards(counts: IntArray, within: tuple[float, float], titles: Titles) -> Spec:
    """A histogram of rewards, whose bars can be clicked.

    Args:
        counts: In equal bins over [0, 1], (bins,).
        within: The range that is chosen; bars outside it are pale.
        titles: Words around them.
    """
    edges = np.linspace(0, 1, counts.size + 1).round(6)
    inside = (edges[:-1] < within[1]) & (edges[1:] > within[0])
    table = pa.table({"low": edges[:-1], "high": edges[1:], "count": counts, "inside": inside})
    axis = {"format": ".1f", "grid": False, "tickCount": 6, "titlePadding": 4}
    body = {
        "data": {"name": "bins"},
        "params": [{"name": CHOSEN, "select": {"type": "point", "fields": ["low", "high"]}}],
        "mark": {"type": "bar", "cursor": "pointer", "binSpacing": 1},
        "encoding": {
            "x": {
                "field": "low",
                "type": "quantitative",
                "bin": {"binned": True},
                "title": "reward",
                "axis": axis,
                "scale": FROM_0_TO_1,
            },
            "x2": {"field": "high"},
            "y": value_axis("count", titles.axis, {}),
            "opacity": {"condition": {"test": "datum.inside", "value": 1}, "value": 0.3},
            "tooltip": [tip("low", "reward from", ".2f"), tip("high", "to", ".2f"), tip("count", titles.axis, ",d")],
        },
    }
    return {**chart(titles, {"bins": table}, body), "height": _HEIGHT}
