"""Estimates with their intervals, over training steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from verl_spo_dashboard.charts.spec import GRAY, LEGEND, Spec, Titles, chart, step_axis, tip, value_axis


@dataclass(frozen=True)
class Estimate:
    """An estimate in [0, 1] with its interval; ends that are NaN are not drawn."""

    policy: str
    step: int
    value: float
    low: float
    high: float


def estimates(points: Sequence[Estimate], references: Mapping[str, float], titles: Titles) -> Spec:
    """Lines with an error bar at each point, and others' figures as dashed lines across.

    Args:
        points: At least one; those of a policy in the order of its steps.
        references: Others' figures in [0, 1], by name.
        titles: Words around them.
    """
    columns = ("policy", "step", "value", "low", "high")
    table = pa.table({name: [getattr(point, name) for point in points] for name in columns})
    names = list(dict.fromkeys(point.policy for point in points))
    legend = {**LEGEND, "orient": "top", "columns": 4, "labelLimit": 220, "symbolType": "stroke"}
    color = {
        "field": "policy",
        "type": "nominal",
        "scale": {"domain": names},
        "legend": legend if len(names) > 1 else None,
    }
    y = value_axis("value", titles.axis, {"zero": False})
    y["axis"] = {**y["axis"], "format": ".0%"}
    tips = [
        {"field": "policy", "type": "nominal"},
        tip("step", "step", "d"),
        tip("value", "estimate", ".1%"),
        tip("low", "95 % from", ".1%"),
        tip("high", "to", ".1%"),
    ]
    across = {"x": step_axis(), "color": color}
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "opacity": 0.55, "strokeWidth": 1.5, "tooltip": None},
            "encoding": {**across, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {"mark": {"type": "line", "strokeWidth": 2, "tooltip": None}, "encoding": {**across, "y": y}},
        {
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
            "encoding": {**across, "y": y, "tooltip": tips},
        },
    ]
    datasets = {"points": table}
    if references:
        datasets["references"] = pa.table({"name": list(references), "value": list(references.values())})
        layers += _references(y, len(references))
    return chart(titles, datasets, {"data": {"name": "points"}, "layer": layers})


def _references(y: Spec, count: int) -> list[Spec]:
    """Lines with their names, at the left and at the right in turn: published figures lie close together."""
    layers: list[Spec] = [
        {
            "data": {"name": "references"},
            "mark": {"type": "rule", "strokeDash": [6, 4], "color": GRAY, "tooltip": None},
            "encoding": {"y": y},
        }
    ]
    for place in range(count):
        left = place % 2 == 0
        side = {"align": "left", "dx": 4, "dy": -7} if left else {"align": "right", "dx": -4, "dy": 9}
        layers.append(
            {
                "data": {"name": "references"},
                "transform": [
                    {"window": [{"op": "row_number", "as": "number"}]},
                    {"filter": f"datum.number === {place + 1}"},
                ],
                "mark": {"type": "text", "color": GRAY, "tooltip": None, **side},
                "encoding": {"y": y, "x": {"value": 0 if left else "width"}, "text": {"field": "name"}},
            }
        )
    return layers
