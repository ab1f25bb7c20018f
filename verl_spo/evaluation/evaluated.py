"""A policy's evaluation on one benchmark, as one scorer sees it, and its figures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from verl_spo.evaluation.drill_down import SampleLine
from verl_spo.evaluation.intervals import Interval, mean_interval
from verl_spo.evaluation.results import Results
from verl_spo.evaluation.samples import FloatArray
from verl_spo.store.queries import EvaluationRow, ProblemRow

MEAN = "mean of sets"
"""What stands for a benchmark's name where all count together, each alike."""


@dataclass(frozen=True)
class Evaluated:
    """A policy's evaluation on one benchmark, as one scorer sees it.

    Attributes:
        row: The evaluation.
        problems: In order.
        results: The scorer's.
        doubts: Samples by `doubts.Doubt`; `texts` are those whose text was there to be looked at.
        samples: By the problem's place, the samples for those who look closer.
    """

    row: EvaluationRow
    problems: Sequence[ProblemRow]
    results: Results
    doubts: Mapping[str, int] = field(default_factory=dict)
    samples: Mapping[int, Sequence[SampleLine]] = field(default_factory=dict)


def common_samples(evaluated: Iterable[Evaluated]) -> int:
    """Samples that every problem of every evaluation has."""
    return min(each.results.samples for each in evaluated)


FIGURES: Mapping[str, Callable[[Results, int], FloatArray]] = {
    "avg@": lambda results, _: results.average(),
    "maj@": lambda results, k: results.majority_at(k) if results.votes else _unknown(results),
    "verl_maj@": lambda results, k: results.verl_majority_at(k) if results.votes else _unknown(results),
    "pass@": lambda results, k: results.pass_at(k),
    "pass^": lambda results, k: results.all_pass_at(k),
}
"""The figures of a report, by what stands before the number of samples: each a number per problem, (problems,)."""


def figures_of(results: Results, n: int) -> dict[str, FloatArray]:
    """The figures of a report, (problems,) each, of n samples per problem; NaN where the scorer names no answers.

    Raises:
        ConfigError: A problem has fewer samples.
    """
    return {f"{name}{n}": figure(results, n) for name, figure in FIGURES.items()}


def _unknown(results: Results) -> FloatArray:
    return np.full(len(results.problems), np.nan)


def interval_of(sets: Sequence[FloatArray]) -> Interval:
    """`mean_interval` of a figure; NaN where a set has none."""
    if any(np.isnan(values).any() for values in sets):
        return Interval(*[float("nan")] * 4)
    return mean_interval(sets)
