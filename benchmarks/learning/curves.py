"""Learning curves as an SVG: the mean of each variant over its seeds, its 95 % interval behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from scipy.stats import t as student

from benchmarks.learning.rows import Row, VariantKey

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"]


def curves(runs: Mapping[VariantKey, Sequence[Row]], shown: Sequence[VariantKey]) -> alt.LayerChart:
    """Expected reward over trajectories, for those of `shown` that have runs; `.save("curves.svg")` draws it."""
    names = {variant: " ".join(filter(None, variant)) for variant in shown if variant in runs}
    points = [point for variant, name in names.items() for point in _points(name, runs[variant])]
    base = alt.Chart(alt.InlineData(points)).encode(
        x=alt.X("trajectories:Q", title="trajectories", axis=alt.Axis(grid=False)),
        color=alt.Color(
            "variant:N",
            scale=alt.Scale(domain=[*names.values()], range=COLOURS),
            legend=alt.Legend(title=None, labelLimit=0, symbolOpacity=1),
        ),
    )
    reward = alt.Y("low:Q", title="expected reward", scale=alt.Scale(zero=False), axis=alt.Axis(format="%"))
    interval = base.mark_area(opacity=0.15).encode(y=reward, y2="high:Q")
    mean = base.mark_line(strokeWidth=2).encode(y="mean:Q")
    # A browser's letters may be wider than those that the legend was measured with.
    padding = {"left": 5, "top": 5, "right": 40, "bottom": 5}
    layers: alt.LayerChart = interval + mean
    chart: alt.LayerChart = layers.properties(width=480, height=320, padding=padding).configure_view(stroke=None)
    return chart


def _points(name: str, runs: Sequence[Row]) -> list[dict[str, Any]]:
    """Mean and interval of the reward after so many trajectories."""
    rewards = np.array([[reward for _, reward, _ in run.curve] for run in runs])
    mean, n = rewards.mean(0), len(runs)
    half = student.ppf(0.975, n - 1) * rewards.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros_like(mean)
    return [
        {"variant": name, "trajectories": step * runs[0].batch, "mean": middle, "low": low, "high": high}
        for (step, _, _), middle, low, high in zip(
            runs[0].curve, mean.tolist(), (mean - half).tolist(), (mean + half).tolist(), strict=True
        )
    ]
