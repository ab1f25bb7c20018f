"""Tables in Markdown and plots in SVG, from rows. Intervals are of 95 %, by Student's t over seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from rows import Row
from scipy.stats import t as student

Line = tuple[str, str | None, str | None]
REFERENCE: Line = ("spo", "kl", "trajectory")
REINFORCE: Line = ("reinforce++", None, None)
GRPO: Line = ("grpo", None, None)
# What every line is compared with, in pairs of equal seed, where it was run.
COMPARED: dict[str, Line] = {"spo kl": REFERENCE, "reinforce++": REINFORCE}
# What the plots show.
SHOWN: tuple[Line, ...] = (
    REFERENCE,
    ("spo", "constant", "trajectory"),
    ("spo", "event", "trajectory"),
    ("spo", "drift", "trajectory"),
    REINFORCE,
    ("spo, optimal baseline", "kl", "trajectory"),
    GRPO,
)

_NAMES = ("method", "retention", "normalization")
_FIGURES = (
    "final accuracy",
    "validation area",
    "no signal",
    "trajectories to +10 points",
    "extra passes a step",
)


@dataclass(frozen=True)
class Estimate:
    """A mean and half the width of its interval; NaN for fewer than two values."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        n = len(values)
        half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
        return cls(fmean(values), half)

    def points(self, signed: bool = False) -> str:
        """In points (hundredths); of a single value, without an interval."""
        mean = f"{100 * self.mean:{'+' if signed else ''}.1f}"
        return mean if np.isnan(self.half) else f"{mean} ± {100 * self.half:.1f}"


def lines(rows: Sequence[Row]) -> dict[Line, list[Row]]:
    """The rows of each line, by seed."""
    grouped: dict[Line, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.seed):
        grouped[row.line].append(row)
    return dict(grouped)


def paired(left: Sequence[Row], right: Sequence[Row], value: Callable[[Row], float]) -> Estimate | None:
    """Mean difference left - right over the seeds that both have; None without any."""
    others = {row.seed: value(row) for row in right}
    differences = [value(row) - others[row.seed] for row in left if row.seed in others]
    return Estimate.of(differences) if differences else None


def table(rows: Sequence[Row]) -> str:
    """One setting's table, best area first."""
    grouped = lines(rows)
    others = {name: line for name, line in COMPARED.items() if line in grouped}
    head = [*_NAMES, "seeds", "area", *(f"area against {name}" for name in others), *_FIGURES]
    body = [
        [*map(_text, line), *_areas(line, grouped, others.values()), *_figures(runs)]
        for line, runs in sorted(grouped.items(), key=lambda item: -_area(item[1]))
    ]
    separator = ["---"] * len(_NAMES) + ["---:"] * (len(head) - len(_NAMES))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, separator, *body))


def agreement(rows: Sequence[Row], setting: str) -> str:
    """Both tiers beside each other, as far as the verl tier's runs go."""
    steps = next(row.steps for row in rows if (row.tier, row.setting) == ("verl", setting))
    tiers = {
        tier: lines([row.through(steps) for row in rows if (row.tier, row.setting) == (tier, setting)])
        for tier in ("verl", "lab")
    }
    compared = [f"{what}, {tier}" for tier in tiers for what in ("seeds", "area", "against grpo")]
    head = [*_NAMES, *compared, "extra pass, of a step's time in verl"]
    body = [
        [*map(_text, line), *_both(tiers, line), _extra_share(runs)]
        for line, runs in sorted(tiers["verl"].items(), key=lambda item: str(item[0]))
    ]
    separator = ["---"] * len(_NAMES) + ["---:"] * (len(head) - len(_NAMES))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, separator, *body))


def _both(tiers: Mapping[str, Mapping[Line, list[Row]]], line: Line) -> Iterator[str]:
    for grouped in tiers.values():
        runs = grouped.get(line, [])
        against = None if line == GRPO else paired(runs, grouped.get(GRPO, []), lambda row: row.area)
        yield str(len(runs))
        yield Estimate.of([row.area for row in runs]).points() if runs else ""
        yield against.points(signed=True) if against else ""


def _extra_share(runs: Sequence[Row]) -> str:
    """What part of a training step re-scoring takes."""
    return f"{100 * fmean(row.metrics.get('rescore_s', 0.0) / row.metrics['step_s'] for row in runs):.0f} %"


def _text(name: str | None) -> str:
    return name or ""


def _area(runs: Sequence[Row]) -> float:
    return fmean(row.area for row in runs)


def _areas(line: Line, grouped: Mapping[Line, Sequence[Row]], others: Iterable[Line]) -> Iterator[str]:
    runs = grouped[line]
    yield str(len(runs))
    yield Estimate.of([row.area for row in runs]).points()
    for other in others:
        against = None if line == other else paired(runs, grouped[other], lambda row: row.area)
        yield against.points(signed=True) if against else ""


def _figures(runs: Sequence[Row]) -> list[str]:
    return [
        Estimate.of([row.final for row in runs]).points(),
        Estimate.of([row.validation_area for row in runs]).points(),
        f"{100 * fmean(row.degenerate for row in runs):.0f} %",
        _to_target(runs),
        f"{fmean(row.extra_logprob_passes for row in runs):.0f}",
    ]


def _to_target(runs: Sequence[Row]) -> str:
    """The median, and how many runs got there if not all did."""
    reached = [row.trajectories_to_target for row in runs if row.trajectories_to_target is not None]
    if not reached:
        return "never"
    share = "" if len(reached) == len(runs) else f" ({len(reached)} of {len(runs)})"
    return f"{median(reached):,.0f}{share}"
