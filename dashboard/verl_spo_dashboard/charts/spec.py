"""What all charts are made of: words, axes, tooltips."""

import time
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Spec = dict[str, Any]
"""A Vega-Lite specification with its data."""

HEIGHT = 270
REDRAWN_S = 600
"""Seconds after which a chart is made anew. Until then Vega keeps whatever it has drawn, half a megabyte per look at a
page of curves: a page that stays open for a day would take gigabytes."""

FROM_0_TO_1 = {"domain": [0, 1]}

GRAY = "#76808c"
"""Of words and lines that stand back. Readable on both backgrounds; the theme has no colour for it."""

OVER = "#e69f00"
"""Of a line over bars or over a heat map, which have the theme's colours."""

DENSE: Spec = {"config": {"mark": {"aria": False}}}
"""Of charts with hundreds of marks: a sentence on each, which nobody would listen to, takes as long as drawing them."""

LEGEND: Spec = {"title": None, "symbolOpacity": 1, "padding": 0, "offset": 4, "labelOffset": 2}


@dataclass(frozen=True)
class Titles:
    """A chart's words: what it shows, how exactly, and the unit on its vertical axis."""

    title: str
    subtitle: str
    axis: str


def step_axis(field: str = "step") -> Spec:
    """The training step, on the horizontal axis."""
    ticks = {"format": "d", "tickCount": 6, "titlePadding": 4, "labelPadding": 6, "tickMinStep": 1}
    scale = {"zero": False, "nice": False}
    return {"field": field, "type": "quantitative", "title": "step", "axis": ticks, "scale": scale}


def value_axis(field: str, title: str, scale: Spec) -> Spec:
    """A number on the vertical axis."""
    return {"field": field, **upwards(title, scale)}


def upwards(title: str, scale: Spec) -> Spec:
    """The vertical axis, of numbers whose fields are named elsewhere."""
    # What is sent in single precision is not shown with more digits than that has.
    axis = {"titlePadding": 8, "labelPadding": 6, "tickCount": 5, "format": ",.6~r"}
    return {"type": "quantitative", "title": title, "axis": axis, "scale": scale}


def tip(field: str, title: str, form: str) -> Spec:
    """A number in a tooltip, in a format of d3's."""
    return {"field": field, "type": "quantitative", "title": title, "format": form}


def chart(titles: Titles, datasets: dict[str, pa.Table], body: Spec) -> Spec:
    """A chart under its words; `body` names its data by their names in `datasets`."""
    title = {"text": titles.title, "subtitle": titles.subtitle, "subtitleColor": GRAY, "offset": 10}
    # Streamlit gives a chart whose specification stays the same new data, and makes another one where it differs.
    made = {"made": int(time.time() // REDRAWN_S)}
    return {"title": title, "height": HEIGHT, "datasets": datasets, "usermeta": made, **body}
