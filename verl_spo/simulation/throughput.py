"""What ways to collect come to, over seeds: time, waiting, waste, staleness, and the bias to short trajectories."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import t as student

from verl_spo.simulation.collecting import GROUPS, WAYS, Account, Collection, Setting, Way
from verl_spo.simulation.sessions import Sessions

WARM_UP = 10
"""Batches at the beginning that do not count: the first ones find nothing unfinished."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval (Student's); NaN for the ends of a single seed's."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """The estimate from one value a seed."""
        mean, seeds = float(np.mean(values)), len(values)
        half = (
            float(student.ppf(0.975, seeds - 1) * np.std(values, ddof=1) / math.sqrt(seeds)) if seeds > 1 else math.nan
        )
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Figures:
    """What a run of some batches came to.

    Attributes:
        seconds: Wall-clock per `batch` trajectories trained on.
        idle: Share of the slots' time in which nothing ran.
        wasted: Share of the work, in slot-seconds, that was thrown away; failed attempts apart.
        failed: Share of the work that was lost by failures.
        staleness: Mean number of updates between a trajectory's oldest token and its own update.
        most_stale: The most.
        old: Share of the work trained on that older weights generated.
        length: Mean duration of what was trained on, in means of all that was started; below 1, short trajectories are
            preferred.
        cut: Share of the trajectories trained on that were cut off at the limit.
    """

    seconds: float
    idle: float
    wasted: float
    failed: float
    staleness: float
    most_stale: float
    old: float
    length: float
    cut: float

    @classmethod
    def of(cls, accounts: Sequence[Account], setting: Setting) -> "Figures":
        """The figures of some batches together, of which at least one trajectory was trained on."""
        sums = {
            each.name: sum(getattr(account, each.name) for account in accounts)
            for each in fields(Account)
            if each.name != "staleness"
        }
        staleness = [updates for account in accounts for updates in account.staleness]
        return cls(
            seconds=sums["seconds"] / sums["trained"] * setting.batch,
            idle=1 - sums["busy"] / (setting.slots * sums["seconds"]),
            wasted=sums["wasted_work"] / sums["busy"],
            failed=sums["failed_work"] / sums["busy"],
            staleness=float(np.mean(staleness)),
            most_stale=max(staleness),
            old=sums["old_work"] / sums["trained_work"],
            length=(sums["trained_work"] / sums["trained"]) / (sums["drawn"] / sums["started"]),
            cut=sums["cut"] / sums["trained"],
        )


@dataclass(frozen=True)
class Result:
    """What one way came to, over seeds: `Figures`, and `ratio`, its trajectories per second in those of `GROUPS`."""

    way: Way
    ratio: Estimate
    seconds: Estimate
    idle: Estimate
    wasted: Estimate
    failed: Estimate
    staleness: Estimate
    most_stale: Estimate
    old: Estimate
    length: Estimate
    cut: Estimate


def compare(setting: Setting, sessions: Sessions, batches: int, seeds: int, ways: Sequence[Way] = WAYS) -> list[Result]:
    """Simulate each way with the same seeds, `batches` batches a seed after `WARM_UP` others."""
    reference = _over_seeds(GROUPS, setting, sessions, batches, seeds)
    found = [(way, _over_seeds(way, setting, sessions, batches, seeds)) for way in ways]
    return [_result(way, figures, reference) for way, figures in found]


def _over_seeds(way: Way, setting: Setting, sessions: Sessions, batches: int, seeds: int) -> list[Figures]:
    return [
        Figures.of(
            Collection(way, setting, sessions, np.random.default_rng(seed)).run(WARM_UP + batches)[WARM_UP:], setting
        )
        for seed in range(seeds)
    ]


def _result(way: Way, figures: Sequence[Figures], reference: Sequence[Figures]) -> Result:
    ratios = [groups.seconds / own.seconds for groups, own in zip(reference, figures, strict=True)]
    estimates = {each.name: Estimate.of([getattr(one, each.name) for one in figures]) for each in fields(Figures)}
    return Result(way, Estimate.of(ratios), **estimates)
