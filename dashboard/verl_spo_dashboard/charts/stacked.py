"""What a whole is made of, over training steps."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray
from verl_spo_dashboard.charts.spec import DENSE, LEGEND, STEP, Axis, Spec, Titles, across, chart, tip, value_axis


def stacked(x: FloatArray, parts: Mapping[str, FloatArray], titles: Titles, axis: Axis = STEP) -> Spec:
    """Parts of a whole, one upon the other.

    Args:
        x: (n,) ascending, n at least 1.
        parts: By name, from the bottom up, (n,) each.
        titles: Words around them.
        axis: What `x` counts.
    """
    names: Sequence[str] = list(parts)
    fields = [f"part{number}" for number in range(len(names))]
    # A row a place: in the browser it becomes one for each part.
    columns = dict(zip(["x", *fields], [x, *parts.values()], strict=True))
    table = pa.table({field: values.astype(np.float32) for field, values in columns.items()})
    apart: Sequence[Spec] = [
        {"fold": fields, "as": ["field", "value"]},
        {"calculate": "toNumber(slice(datum.field, 4))", "as": "place"},
        {"calculate": f"{json.dumps(names)}[datum.place]", "as": "part"},
    ]
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
    body = {"data": {"name": "parts"}, "transform": apart, "mark": mark, "encoding": encoding, **DENSE}
    return chart(titles, {"parts": table}, body)
