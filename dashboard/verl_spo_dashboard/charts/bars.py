"""How many there are of each kind: of prompts by value, evidence or visits, and of draws."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.charts.lines import PICKED
from verl_spo_dashboard.charts.spec import FROM_0_TO_1, HEIGHT, LEGEND, OVER, Spec, Titles, chart, tip, value_axis

# Pixels: of a row, and of title, legend and axis around the rows.
_ROW, _AROUND = 24, 150


def histogram(
    shares: FloatArray, counts: IntArray, titles: Titles, outline: FloatArray | None = None, clicks: bool = False
) -> Spec:
    """Shares in equal bins over [0, 1].

    Args:
        shares: (bins,).
        counts: How many that is, (bins,).
        titles: Words around them.
        outline: Shares of another distribution, drawn as a line of steps above the bars, (bins,).
        clicks: Whether a click on a bar picks its `low` and `high`.
    """
    low = np.arange(shares.size) / shares.size
    table = {"low": low, "high": low + 1 / shares.size, "share": shares, "count": counts}
    tips = [
        tip("low", "v̂ from", ".2f"),
        tip("high", "to", ".2f"),
        tip("share", "share", ".1%"),
        tip("count", "n", ",d"),
    ]
    across = {"type": "quantitative", "title": "v̂", "scale": FROM_0_TO_1, "axis": {"tickCount": 6}}
    up = value_axis("share", titles.axis, {"zero": True})
    up["axis"] = {**up["axis"], "format": "~%"}
    layers: list[Spec] = [
        {
            "data": {"name": "bins"},
            "mark": {"type": "bar", "binSpacing": 1, "cursor": "pointer" if clicks else "default"},
            "params": _picking("low", "high") if clicks else [],
            "encoding": {
                "x": {**across, "field": "low", "bin": "binned"}, "x2": {"field": "high"}, "y": up, "tooltip": tips,
            },
        }
    ]  # fmt: skip
    datasets = {"bins": pa.table(table)}
    if outline is not None:
        datasets["outline"] = pa.table({"x": np.append(low, 1.0), "share": np.append(outline, outline[-1:])})
        layers.append(
            {
                "data": {"name": "outline"},
                "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "color": OVER},
                "encoding": {"x": {**across, "field": "x"}, "y": up},
            }
        )
    return chart(titles, datasets, {"layer": layers})


def columns(names: Sequence[str], counts: IntArray, titles: Titles, across: str) -> Spec:
    """Counts by name, in order; `across` says what the names are."""
    share = counts / max(int(counts.sum()), 1)
    up = value_axis("share", titles.axis, {"zero": True})
    up["axis"] = {**up["axis"], "format": "~%"}
    encoding = {
        "x": {"field": "name", "type": "ordinal", "sort": None, "title": across, "axis": {"labelAngle": 0}},
        "y": up,
        "tooltip": [
            {"field": "name", "type": "nominal", "title": across},
            tip("share", "share", ".1%"),
            tip("count", "n", ",d"),
        ],
    }
    table = pa.table({"name": list(names), "share": share, "count": counts})
    return chart(titles, {"bins": table}, {"data": {"name": "bins"}, "mark": "bar", "encoding": encoding})


def compositions(rows: Mapping[str, Sequence[int]], parts: Sequence[str], titles: Titles) -> Spec:
    """What each row's whole is made of, one below the other; a click picks its `name` and the part's `place`."""
    names = list(rows)
    counts = np.array(list(rows.values()), dtype=np.int64).reshape(len(names), len(parts))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    table = pa.table(
        {
            "name": [name for name in names for _ in parts],
            "part": list(parts) * len(names),
            "place": list(range(len(parts))) * len(names),
            "count": counts.ravel(),
            "share": shares.ravel(),
        }
    )
    encoding = {
        "y": {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 130}},
        "x": {
            "field": "share", "type": "quantitative", "stack": "zero", "title": titles.axis, "scale": FROM_0_TO_1,
            "axis": {"format": "~%", "tickCount": 5},
        },
        "color": {
            "field": "part", "type": "nominal", "scale": {"domain": list(parts)},
            "legend": {**LEGEND, "orient": "top", "columns": 2, "symbolType": "square"},
        },
        "order": {"field": "place", "type": "quantitative"},
        "tooltip": [
            {"field": "name", "type": "nominal", "title": "data source"}, {"field": "part", "type": "nominal"},
            tip("count", "prompts", ",d"), tip("share", "share", ".1%"),
        ],
    }  # fmt: skip
    body = {
        "data": {"name": "rows"},
        "mark": {"type": "bar", "cursor": "pointer"},
        "params": _picking("name", "place"),
        "encoding": encoding,
    }
    return {**chart(titles, {"rows": table}, body), "height": max(HEIGHT, _AROUND + _ROW * len(names))}


def _picking(*fields: str) -> list[Spec]:
    """What a click picks of a bar."""
    return [{"name": PICKED, "select": {"type": "point", "on": "click", "fields": list(fields)}}]
