"""Evaluations as reports take them, without a database."""

from typing import Any

import numpy as np

from verl_spo.evaluation.evaluated import Evaluated
from verl_spo.evaluation.results import results_of
from verl_spo.store.queries import EvaluationRow, ProblemRow, Scores
from verl_spo.store.records import Finish

WRONG = "wrong"


def scores(rights: list[list[int]], **changes: Any) -> Scores:
    """Samples of problems, given by which of them are right; right answers vote alike, and so do wrong ones."""
    keys = [(place, number) for place, samples in enumerate(rights) for number in range(len(samples))]
    score = np.array([float(right) for samples in rights for right in samples])
    made: dict[str, Any] = {
        "place": np.array([place for place, _ in keys]),
        "sample": np.array([number for _, number in keys]),
        "score": score,
        "vote": ["right" if right else WRONG for right in score],
        "finish": [Finish.STOP] * len(keys),
        "length": np.full(len(keys), 100),
    }
    return Scores(**{**made, **changes})


def evaluated(rights: list[list[int]], benchmark: str = "aime_2024", step: int = 10, **changes: Any) -> Evaluated:
    """A policy's evaluation, given by which samples of each problem are right."""
    given: dict[str, Any] = {
        "id": 1,
        "run_id": 1,
        "attempt": 1,
        "step": step,
        "model": "a/model",
        "benchmark": benchmark,
        "problems": len(rights),
        "problems_digest": b"p" * 16,
        "wanted": len(rights[0]),
        "origin": "evaluation",
        "settings": {"temperature": 0.6},
        "started_at": 0.0,
        "samples": sum(map(len, rights)),
        "answered": sum(map(len, rights)),
    }
    problems = [ProblemRow(place, place, benchmark, f"problem {place}", "right") for place in range(len(rights))]
    results = results_of(benchmark, "math_verify", len(rights), scores(rights))
    return Evaluated(EvaluationRow(**{**given, **changes}), problems, results)
