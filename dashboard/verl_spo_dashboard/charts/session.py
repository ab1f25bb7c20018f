"""A session of several turns as one bar."""

from collections.abc import Sequence

import pyarrow as pa

from verl_spo.store.text import Part
from verl_spo_dashboard.charts.spec import GRAY, LEGEND, Spec, tip

_AUTHORS = {"model": "model", "environment": "tools and users"}


def session(parts: Sequence[Part], tools: Sequence[str] = ()) -> Spec:
    """Who wrote which tokens of a session, from its first to its last; `tools` are those that each part is about."""
    ends = [sum(part.tokens for part in parts[: number + 1]) for number in range(len(parts))]
    table = pa.table(
        {
            "author": [_AUTHORS[part.author] for part in parts],
            "tokens": [part.tokens for part in parts],
            "tools": list(tools) or [""] * len(parts),
            "start": [end - part.tokens for end, part in zip(ends, parts, strict=True)],
            "end": ends,
        }
    )
    legend = {**LEGEND, "orient": "top", "symbolType": "square"}
    return {
        "height": 96,
        "datasets": {"parts": table},
        "data": {"name": "parts"},
        "mark": {"type": "bar", "height": 22, "stroke": GRAY, "strokeWidth": 0.5},
        "encoding": {
            "x": {
                "field": "start",
                "type": "quantitative",
                "title": "tokens of the session",
                "axis": {"grid": False, "tickCount": 6, "titlePadding": 4},
            },
            "x2": {"field": "end"},
            "color": {
                "field": "author",
                "type": "nominal",
                "scale": {"domain": list(_AUTHORS.values())},
                "legend": legend,
            },
            "tooltip": [
                {"field": "author", "type": "nominal", "title": "written by"},
                {"field": "tools", "type": "nominal"},
                tip("tokens", "tokens", ",d"),
            ],
        },
    }
