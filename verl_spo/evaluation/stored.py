"""Stored evaluations: who has judged them, and how they look to a scorer."""

from collections.abc import Collection, Iterable, Mapping

from verl_spo.evaluation.evaluated import Evaluated
from verl_spo.evaluation.results import results_of
from verl_spo.store import Reader, queries
from verl_spo.store.evaluations import REWARD
from verl_spo.store.queries import EvaluationRow

PREFERRED = "math_verify"
"""The scorer that everybody means, where it has judged."""


def judges(row: EvaluationRow, verdicts: Mapping[str, int]) -> list[str]:
    """Who has judged all answers of an evaluation, by how many verdicts of it each scorer has given."""
    return [name for name, count in verdicts.items() if count >= row.answered]


def default_scorer(judged_by: Iterable[Collection[str]]) -> str:
    """Whose verdicts count if the reader names no scorer: Math-Verify's, or else the recipe's own reward function's.

    Args:
        judged_by: Of each evaluation, who has judged all its answers; Math-Verify must have judged every one.
    """
    return PREFERRED if all(PREFERRED in names for names in judged_by) else REWARD


def read(reader: Reader, row: EvaluationRow, scorer: str) -> Evaluated:
    """An evaluation as a scorer sees it.

    Raises:
        DataError: Samples are missing, or the scorer has not judged all of them.
    """
    scores = queries.evaluation_scores(reader, row.id, scorer)
    results = results_of(row.benchmark, scorer, row.problems, scores)
    return Evaluated(row, queries.evaluation_problems(reader, row.id), results)
