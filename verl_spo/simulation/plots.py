"""What ways to collect come to, as a picture."""

from collections.abc import Sequence

import altair as alt

from verl_spo.simulation.throughput import Estimate, Result

_SHOWN = {
    "ratio": "times as fast as groups",
    "idle": "idle slot time",
    "wasted": "wasted work",
    "staleness": "staleness, updates",
    "length": "length trained on",
}


def chart(results: Sequence[Result]) -> alt.HConcatChart:
    """A panel a figure, a line a way, with 95 % intervals over seeds; `.save("throughput.svg")` draws it."""
    panels = [_panel(results, name, title, names=not place) for place, (name, title) in enumerate(_SHOWN.items())]
    joined: alt.HConcatChart = alt.hconcat(*panels, spacing=24).configure_view(stroke=None)
    return joined


def _panel(results: Sequence[Result], name: str, title: str, names: bool) -> alt.LayerChart:
    points = [_point(result, getattr(result, name)) for result in results]
    base = alt.Chart(alt.InlineData(points)).encode(
        y=alt.Y("way:N", title=None, sort=None, axis=alt.Axis(labelLimit=0, ticks=False) if names else None),
        color=alt.Color("stream:N", legend=None, scale=alt.Scale(range=["#d55e00", "#0072b2"])),
    )
    bars = base.mark_bar(height=10).encode(x=alt.X("mean:Q", title=title))
    intervals = base.mark_rule(color="black").encode(x="low:Q", x2="high:Q", color=alt.value("black"))
    panel: alt.LayerChart = (bars + intervals).properties(width=130)
    return panel


def _point(result: Result, value: Estimate) -> dict[str, str | float]:
    """A figure of a way; where one seed gives no interval, it is the mean alone."""
    low, high = (end if end == end else value.mean for end in (value.low, value.high))
    stream = "groups" if result.way.grouped else "single-stream"
    return {"way": str(result.way), "stream": stream, "mean": value.mean, "low": low, "high": high}
