"""A report as Markdown, as JSON, or as one HTML file that needs nothing else."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import altair as alt
import jinja2
from markupsafe import Markup

from verl_spo.evaluation.doubts import IN_WORDS, Doubt
from verl_spo.evaluation.formats import Format
from verl_spo.evaluation.intervals import Interval
from verl_spo.evaluation.report import Point, Report


def render(report: Report, to: Format) -> str:
    """A report as text; whatever problems and answers say, it is shown as they wrote it, and loads nothing."""
    if to is Format.JSON:
        return json.dumps(_plain(asdict(report)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("verl_spo.evaluation"),
        autoescape=to is Format.HTML,  # noqa: S701 (Markdown: `cell`)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (points, interval, bounds, chance, cell, share, why)
    environment.filters |= {each.__name__: each for each in filters}
    charts = [_svg(report.curves)] if to is Format.HTML and report.curves else []
    return environment.get_template(f"report.{to}.jinja").render(report=report, charts=charts, nan=math.nan)


def points(value: float, signed: bool = False) -> str:
    """A share in points (hundredths); a dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"


def interval(value: Interval, signed: bool = False) -> str:
    """A figure with its interval, in points."""
    return " ".join(filter(None, (points(value.mean, signed), bounds(value, signed))))


def bounds(value: Interval, signed: bool = False) -> str:
    """The interval alone; empty where there is none."""
    return "" if math.isnan(value.low) else f"[{points(value.low, signed)}, {points(value.high, signed)}]"


def chance(p: float) -> str:
    """A p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def share(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f} %"


def why(doubts: Sequence[Doubt]) -> str:
    """Doubts about a sample, in words."""
    return ", ".join(map(IN_WORDS.__getitem__, doubts))


def cell(text: str) -> str:
    """Text for a cell of a Markdown table: one line that is no Markdown."""
    line = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>()#+-!|~$&" else character for character in line)


def _svg(curves: Sequence[Point]) -> Markup:
    """Figures over training steps; the bands are 95 % intervals over problems."""
    data = [
        {
            "benchmark": each.benchmark,
            "figure": each.figure,
            "step": each.step,
            "mean": each.value.mean,
            "low": each.value.low,
            "high": each.value.high,
        }
        for each in curves
    ]
    base = alt.Chart(alt.InlineData(_plain(data))).encode(
        x=alt.X("step:Q", title="training step"),
        color=alt.Color("benchmark:N", legend=alt.Legend(title=None, labelLimit=0, symbolOpacity=1)),
    )
    value = alt.Y("low:Q", title=None, axis=alt.Axis(format="%"))
    layers = (
        base.mark_area(opacity=0.12).encode(y=value, y2="high:Q")
        + base.mark_line(strokeWidth=2, point=True).encode(y="mean:Q")
    ).properties(width=360, height=240)
    chart = layers.facet(column=alt.Column("figure:N", title=None)).configure_view(stroke=None)
    from vl_convert import vegalite_to_svg

    return Markup(vegalite_to_svg(chart.to_dict()))  # noqa: S704


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
