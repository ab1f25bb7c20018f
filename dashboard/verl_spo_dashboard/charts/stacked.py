"""What a whole is made of, over training steps."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray
from verl_spo_dashboard.charts.spec import LEGEND, STEP, Axis, Spec, Titles, across, chart, tip, value_axis


def stacked(x: FloatArray, parts: Mapping[str, FloatArray], titles: Titles, axis: Axis = STEP) -> Spec:
    """Parts of a whole, one upon the other.

    Args:
        x: (n,) ascending, n at least 1.
        parts: By name, from the bottom up, (n,) each.
        titles: Words around them.
        axis: What `x` counts.
    """
    names: Sequence[str] = list(parts)
    places = np.repeat(np.arange(len(names), dtype=np.int8), x.size)
    table = pa.table(
        {
            "x": np.tile(x, len(names)).astype(np.float32),
            "value": np.concatenate(list(parts.values())).astype(np.float32),
            "part": pa.DictionaryArray.from_arrays(places, names),
            "place": places,
        }
    )
    legend = {**LEGEND, "orient": "right", "symbolType": "square", "labelLimit": 130}
    encoding = {
        "x": across(axis),
        "y": {**value_axis("value", titles.axis, {}), "stack": "zero"},
        "color": {"field": "part", "type": "nominal", "scale": {"domain": names}, "legend": legend},
        "order": {"field": "place", "type": "quantitative"},
        "tooltip": [
            tip("x", axis.title, axis.form),
            {"field": "part", "type": "nominal"},
            tip("value", titles.axis, ".3~g"),
        ],
    }
    mark = {"type": "area", "line": False, "opacity": 0.85} if x.size > 1 else {"type": "bar", "size": 24}
    return chart(titles, {"parts": table}, {"data": {"name": "parts"}, "mark": mark, "encoding": encoding})
