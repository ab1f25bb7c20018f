"""Stored evaluations, as a scorer sees them."""

from verl_spo.evaluation.evaluated import Evaluated
from verl_spo.evaluation.results import results_of
from verl_spo.store import Reader, queries
from verl_spo.store.queries import EvaluationRow


def read(reader: Reader, row: EvaluationRow, scorer: str) -> Evaluated:
    """An evaluation as a scorer sees it.

    Raises:
        DataError: Samples are missing, or the scorer has not judged all of them.
    """
    scores = queries.evaluation_scores(reader, row.id, scorer)
    results = results_of(row.benchmark, scorer, row.problems, scores)
    return Evaluated(row, queries.evaluation_problems(reader, row.id), results)
