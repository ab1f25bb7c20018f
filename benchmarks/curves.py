"""Learning curves as a small SVG: a line a method, its 95 % interval behind it."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from rows import Row
from scipy.stats import t as student

from verl_spo.core.arrays import FloatArray

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 720, 380, 48, 44, 16, 190
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
Line = tuple[str, str | None, str | None]


def curves(lines: Mapping[Line, Sequence[Row]], shown: Sequence[Line]) -> str:
    """An SVG of expected reward over trajectories, for those of `shown` that have rows."""
    chosen = [line for line in shown if line in lines]
    bands = {line: _band(lines[line]) for line in chosen}
    low = min(float(band[1].min()) for band in bands.values())
    high = max(float(band[3].max()) for band in bands.values())
    axes = _Axes(max(float(band[0].max()) for band in bands.values()), low, high)
    parts = [axes.svg()]
    for place, (line, band) in enumerate(bands.items()):
        parts.append(_curve(axes, band, COLOURS[place % len(COLOURS)]))
        parts.append(_label(place, " ".join(filter(None, line)), COLOURS[place % len(COLOURS)]))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _band(runs: Sequence[Row]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Trajectories, lower end, mean and upper end of the reward."""
    rewards = np.array([[reward for _, reward, _ in run.curve] for run in runs])
    trajectories = np.array([step * runs[0].batch for step, _, _ in runs[0].curve], dtype=np.float64)
    mean, n = rewards.mean(0), len(runs)
    half = student.ppf(0.975, n - 1) * rewards.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros_like(mean)
    return trajectories, mean - half, mean, mean + half


class _Axes:
    def __init__(self, right: float, low: float, high: float) -> None:
        self._right = right
        self._low, self._high = np.floor(low * 20) / 20, np.ceil(high * 20) / 20

    def points(self, x: FloatArray, y: FloatArray) -> str:
        """Data as SVG points."""
        columns = LEFT + x / self._right * (WIDTH - LEFT - RIGHT)
        lines = HEIGHT - BOTTOM - (y - self._low) / (self._high - self._low) * (HEIGHT - BOTTOM - TOP)
        return " ".join(f"{column:.1f},{line:.1f}" for column, line in zip(columns, lines, strict=True))

    def svg(self) -> str:
        """The frame: ticks every 5 points and every quarter of the run."""
        parts = []
        for tick in np.arange(self._low, self._high + 1e-9, 0.05):
            ends = self.points(np.array([0.0, self._right]), np.array([tick, tick]))
            y = float(ends.split(",")[-1])
            parts.append(f'<polyline points="{ends}" stroke="#ddd"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * tick:.0f} %</text>')
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = LEFT + share * (WIDTH - LEFT - RIGHT)
            parts.append(f'<text x="{x:.0f}" y="{HEIGHT - 26}" text-anchor="middle">{share * self._right:,.0f}</text>')
        middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
        parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">trajectories</text>')
        return "\n".join(parts)


def _curve(axes: _Axes, band: tuple[FloatArray, FloatArray, FloatArray, FloatArray], colour: str) -> str:
    x, low, mean, high = band
    outline = f"{axes.points(x, high)} {axes.points(x[::-1], low[::-1])}"
    return (
        f'<polygon points="{outline}" fill="{colour}" fill-opacity="0.15"/>\n'
        f'<polyline points="{axes.points(x, mean)}" fill="none" stroke="{colour}" stroke-width="2"/>'
    )


def _label(place: int, text: str, colour: str) -> str:
    x, y = WIDTH - RIGHT + 12, TOP + 14 + 20 * place
    return (
        f'<rect x="{x}" y="{y - 9}" width="12" height="10" fill="{colour}"/>'
        f'<text x="{x + 18}" y="{y}">{escape(text)}</text>'
    )
