"""Who has judged stored evaluations, and whose verdicts count."""

from collections.abc import Collection, Iterable, Mapping

from verl_spo.store.evaluations import REWARD
from verl_spo.store.queries import EvaluationRow

PREFERRED = "math_verify"
"""The scorer that everybody means, where it has judged."""

BY_DEFAULT = (PREFERRED, REWARD)
"""Whose verdicts count, in this order, if nobody names a scorer."""


def judges(row: EvaluationRow, verdicts: Mapping[str, int]) -> list[str]:
    """Who has judged all answers of an evaluation, by how many verdicts of it each scorer has given."""
    return [name for name, count in verdicts.items() if count >= row.answered]


def default_scorer(judged_by: Iterable[Collection[str]]) -> str:
    """Whose verdicts count if the reader names no scorer: Math-Verify's, or else the recipe's own reward function's.

    Args:
        judged_by: Of each evaluation, who has judged all its answers; Math-Verify must have judged every one.
    """
    return PREFERRED if all(PREFERRED in names for names in judged_by) else REWARD
