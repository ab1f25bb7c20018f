"""A policy's evaluation on one benchmark, as one scorer sees it, and its figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

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
    """

    row: EvaluationRow
    problems: Sequence[ProblemRow]
    results: Results
    doubts: Mapping[str, int] = field(default_factory=dict)


def common_samples(evaluated: Iterable[Evaluated]) -> int:
    """Samples that every problem of every evaluation has."""
    return min(each.results.samples for each in evaluated)


def figures_of(results: Results, n: int) -> dict[str, FloatArray]:
    """The figures of a report, (problems,) each, of n samples per problem; NaN where the scorer names no answers.

    Raises:
        ConfigError: A problem has fewer samples.
    """
    unknown = np.full(len(results.problems), np.nan)
    return {
        f"avg@{n}": results.average(),
        f"maj@{n}": results.majority_at(n) if results.votes else unknown,
        f"verl_maj@{n}": results.verl_majority_at(n) if results.votes else unknown,
        f"pass@{n}": results.pass_at(n),
        f"pass^{n}": results.all_pass_at(n),
    }


def interval_of(sets: Sequence[FloatArray]) -> Interval:
    """`mean_interval` of a figure; NaN where a set has none."""
    if any(np.isnan(values).any() for values in sets):
        return Interval(*[float("nan")] * 4)
    return mean_interval(sets)
