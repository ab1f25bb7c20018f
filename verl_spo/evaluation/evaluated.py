"""A policy's evaluation on one benchmark, as one scorer sees it, and its figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from verl_spo.evaluation.results import Results
from verl_spo.evaluation.samples import FloatArray
from verl_spo.store.queries import EvaluationRow, ProblemRow

MEAN = "mean of sets"
"""What stands for a benchmark's name where all count together, each alike."""


@dataclass(frozen=True)
class Evaluated:
    """A policy's evaluation on one benchmark, as one scorer sees it; `doubts` counts samples by `doubts.Doubt`."""

    row: EvaluationRow
    problems: Sequence[ProblemRow]
    results: Results
    doubts: Mapping[str, int] = field(default_factory=dict)


def common_samples(evaluated: Iterable[Evaluated]) -> int:
    """Samples that every problem of every evaluation has."""
    return min(each.results.samples for each in evaluated)


def figures_of(results: Results, n: int) -> dict[str, FloatArray]:
    """The figures of a report, (problems,) each, of n samples per problem; avg@n comes first, maj@n second.

    Raises:
        ConfigError: A problem has fewer samples.
    """
    return {
        f"avg@{n}": results.average(),
        f"maj@{n}": results.majority_at(n),
        f"verl_maj@{n}": results.verl_majority_at(n),
        f"pass@{n}": results.pass_at(n),
        f"pass^{n}": results.all_pass_at(n),
    }
