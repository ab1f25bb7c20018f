"""Tables in Markdown and plots in SVG, from rows. Intervals are of 95 %, by Student's t over seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
from scipy.stats import t as student

from benchmarks.learning.rows import Row, VariantKey

REFERENCE: VariantKey = ("spo", "kl", "trajectory")
REINFORCE: VariantKey = ("reinforce++", None, None)
GRPO: VariantKey = ("grpo", None, None)
# What every variant is compared with, in pairs of equal seed, where it was run.
COMPARED: dict[str, VariantKey] = {"spo kl": REFERENCE, "reinforce++": REINFORCE}
# What the plots show.
SHOWN: tuple[VariantKey, ...] = (
    REFERENCE,
    ("spo", "constant", "trajectory"),
    ("spo", "event", "trajectory"),
    ("spo", "drift", "trajectory"),
    REINFORCE,
    ("spo, optimal baseline", "kl", "trajectory"),
    ("spo, each part alone", "kl", "trajectory"),
    ("spo, whole batch", "kl", "trajectory"),
    GRPO,
)

_NAMES = ("method", "retention", "normalization")
_FIGURES = (
    "final accuracy",
    "validation area",
    "no signal",
    "trajectories to +10 points",
    "extra passes per step",
)

# Of the policy at the end; columns of the tables whose rows have them.
_BREADTH = {"entropy": "entropy, nats per token", "pass_at_8": "pass@8"}


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

    def plain(self) -> str:
        """As it is; of a single value, without an interval."""
        return f"{self.mean:.3f}" if np.isnan(self.half) else f"{self.mean:.3f} ± {self.half:.3f}"


def by_variant(rows: Sequence[Row]) -> dict[VariantKey, list[Row]]:
    """The rows of each variant, by seed."""
    grouped: dict[VariantKey, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.seed):
        grouped[row.variant].append(row)
    return dict(grouped)


def paired(left: Sequence[Row], right: Sequence[Row], value: Callable[[Row], float]) -> Estimate | None:
    """Mean difference left - right over the seeds that both have; None without any."""
    others = {row.seed: value(row) for row in right}
    differences = [value(row) - others[row.seed] for row in left if row.seed in others]
    return Estimate.of(differences) if differences else None


def table(rows: Sequence[Row]) -> str:
    """One setting's table, best area first."""
    grouped = by_variant(rows)
    others = {name: variant for name, variant in COMPARED.items() if variant in grouped}
    breadth = [name for name in _BREADTH if any(name in row.metrics for row in rows)]
    against = (f"area against {name}" for name in others)
    counted = all(row.tokens for row in rows)
    tokens = min(row.tokens[-1] for row in rows) if counted else None
    by_tokens = ["area by tokens"] if counted else []
    head = [*_NAMES, "seeds", "area", *against, *by_tokens, *_FIGURES, *(_BREADTH[name] for name in breadth)]
    body = [
        [
            *map(_text, variant),
            *_areas(variant, grouped, others.values()),
            *_by_tokens(runs, tokens),
            *_figures(runs),
            *_breadth(runs, breadth),
        ]
        for variant, runs in sorted(grouped.items(), key=lambda item: -_area(item[1]))
    ]
    separator = ["---"] * len(_NAMES) + ["---:"] * (len(head) - len(_NAMES))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, separator, *body))


def agreement(rows: Sequence[Row], setting: str) -> str:
    """Both tiers beside each other, as far as the verl tier's runs go."""
    steps = next(row.steps for row in rows if (row.tier, row.setting) == ("verl", setting))
    tiers = {
        tier: by_variant([row.through(steps) for row in rows if (row.tier, row.setting) == (tier, setting)])
        for tier in ("verl", "lab")
    }
    compared = [f"{what}, {tier}" for tier in tiers for what in ("seeds", "area", "against grpo")]
    head = [*_NAMES, *compared, "extra pass, of a step's time in verl"]
    body = [
        [*map(_text, variant), *_both(tiers, variant), _extra_share(runs)]
        for variant, runs in sorted(tiers["verl"].items(), key=lambda item: str(item[0]))
    ]
    separator = ["---"] * len(_NAMES) + ["---:"] * (len(head) - len(_NAMES))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, separator, *body))


def _both(tiers: Mapping[str, Mapping[VariantKey, list[Row]]], variant: VariantKey) -> Iterator[str]:
    for grouped in tiers.values():
        runs = grouped.get(variant, [])
        against = None if variant == GRPO else paired(runs, grouped.get(GRPO, []), lambda row: row.area)
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


def _areas(
    variant: VariantKey, grouped: Mapping[VariantKey, Sequence[Row]], others: Iterable[VariantKey]
) -> Iterator[str]:
    runs = grouped[variant]
    yield str(len(runs))
    yield Estimate.of([row.area for row in runs]).points()
    for other in others:
        against = None if variant == other else paired(runs, grouped[other], lambda row: row.area)
        yield against.points(signed=True) if against else ""


def _by_tokens(runs: Sequence[Row], tokens: int | None) -> Iterator[str]:
    """The area over as many generated tokens as every run of the table has."""
    if tokens is not None:
        yield Estimate.of([row.area_by_tokens(tokens) for row in runs]).points()


def _figures(runs: Sequence[Row]) -> list[str]:
    return [
        Estimate.of([row.final for row in runs]).points(),
        Estimate.of([row.validation_area for row in runs]).points(),
        f"{100 * fmean(row.degenerate for row in runs):.0f} %",
        _to_target(runs),
        f"{fmean(row.extra_logprob_passes for row in runs):.0f}",
    ]


def _breadth(runs: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        values = [row.metrics[name] for row in runs if name in row.metrics]
        estimate = Estimate.of(values) if values else None
        yield "" if estimate is None else estimate.plain() if name == "entropy" else estimate.points()


def _to_target(runs: Sequence[Row]) -> str:
    """The median, and how many runs got there if not all did."""
    reached = [row.trajectories_to_target for row in runs if row.trajectories_to_target is not None]
    if not reached:
        return "never"
    share = "" if len(reached) == len(runs) else f" ({len(reached)} of {len(runs)})"
    return f"{median(reached):,.0f}{share}"
