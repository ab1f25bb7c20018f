"""What a whole is made of, over training steps."""

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from verl_spo.store.records import FloatArray
from verl_spo_dashboard.charts.progress import SAID, STEP, Axis, columns, found, progress_axis, single
from verl_spo_dashboard.charts.spec import DENSE, LEGEND, Spec, Titles, chart, tip, value_axis


def stacked(
    steps: FloatArray,
    parts: Mapping[str, FloatArray],
    titles: Titles,
    axis: Axis = STEP,
    x: FloatArray | None = None,
    until: FloatArray | None = None,
) -> Spec:
    """Parts of a whole, one upon the other.

    Args:
        steps: (n,) ascending, n at least 1.
        parts: By name, from the bottom up, (n,) each.
        titles: Words around them.
        axis: What the horizontal axis counts.
        x: (n,) where the steps stand on it; None where it counts steps.
        until: (n,) last steps of places that stand for several; None where each stands for its own.
    """
    names: Sequence[str] = list(parts)
    fields = [f"part{number}" for number in range(len(names))]
    # A row a place: in the browser it becomes one for each part.
    across = columns(axis, steps, steps if until is None else until, steps if x is None else x)
    table = pa.table(across | dict(zip(fields, map(single, parts.values()), strict=True)))
    apart: Sequence[Spec] = [
        *found(),
        {"fold": fields, "as": ["field", "value"]},
        {"calculate": "toNumber(slice(datum.field, 4))", "as": "place"},
        {"calculate": f"{json.dumps(names)}[datum.place]", "as": "part"},
    ]
    legend = {**LEGEND, "orient": "right", "symbolType": "square", "labelLimit": 130}
    encoding = {
        "x": progress_axis("parts"),
        "y": {**value_axis("value", titles.axis, {}), "stack": "zero"},
        "color": {"field": "part", "type": "nominal", "scale": {"domain": names}, "legend": legend},
        "order": {"field": "place", "type": "quantitative"},
        "tooltip": [
            SAID,
            {"field": "part", "type": "nominal"},
            tip("value", titles.axis, ".3~g"),
        ],
    }
    mark = {"type": "area", "line": False, "opacity": 0.85} if steps.size > 1 else {"type": "bar", "size": 24}
    body = {"data": {"name": "parts"}, "transform": apart, "mark": mark, "encoding": encoding, **DENSE}
    return chart(titles, {"parts": table}, body)
