"""Figures of one evaluation by one scorer, problem by problem, from its stored samples alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from verl_spo.errors import DataError
from verl_spo.evaluation.majority import majority_at
from verl_spo.evaluation.measures import all_pass_at, average, pass_at
from verl_spo.evaluation.samples import FloatArray, IntArray, number_answers
from verl_spo.evaluation.verl_majority import verl_majority_at
from verl_spo.store.queries import Scores
from verl_spo.store.records import Finish

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """A problem's samples.

    Attributes:
        scores: In [0, 1], (n,); 0 where the session failed, as verl counts it.
        votes: The number of each sample's class of equal answers, -1 if it has none, (n,).
        answers: The same as text, empty for none, (n,).
        answered: Whether the session has not failed, (n,).
    """

    scores: FloatArray
    votes: IntArray
    answers: list[str]
    answered: BoolArray

    def classes(self) -> list[tuple[str, int, float]]:
        """Each answer, how many samples gave it and their mean score, the most frequent first."""
        scores: dict[str, list[float]] = {}
        for answer, score in zip(self.answers, self.scores.tolist(), strict=True):
            scores.setdefault(answer, []).append(score)
        found = [(answer, len(of), sum(of) / len(of)) for answer, of in scores.items()]
        return sorted(found, key=lambda each: -each[1])


@dataclass(frozen=True)
class Results:
    """An evaluation as one scorer sees it.

    Attributes:
        benchmark: Its name.
        scorer: Its name.
        problems: In the benchmark's order.
        cut_off: Samples that ended at their token limit.
        failed: Samples whose session failed.
        length: Mean tokens that the model generated, of samples with an answer; NaN without any.
    """

    benchmark: str
    scorer: str
    problems: Sequence[Problem]
    cut_off: int
    failed: int
    length: float

    @cached_property
    def samples(self) -> int:
        """Samples that every problem has."""
        return min(problem.scores.size for problem in self.problems)

    def average(self) -> FloatArray:
        """avg@n of each problem, (problems,)."""
        return np.array([average(problem.scores) for problem in self.problems])

    def average_of_answered(self) -> FloatArray:
        """The same over samples with an answer alone; NaN where all sessions failed, (problems,)."""
        chosen = [problem.scores[problem.answered] for problem in self.problems]
        return np.array([scores.mean() if scores.size else np.nan for scores in chosen])

    def pass_at(self, k: int) -> FloatArray:
        """pass@k of each problem, (problems,)."""
        return np.array([pass_at(k, problem.scores) for problem in self.problems])

    def all_pass_at(self, k: int) -> FloatArray:
        """pass^k of each problem, (problems,)."""
        return np.array([all_pass_at(k, problem.scores) for problem in self.problems])

    @cached_property
    def votes(self) -> bool:
        """Whether any sample has an answer to vote with: some reward functions do not say what they found."""
        return any((problem.votes >= 0).any() for problem in self.problems)

    def majority_at(self, k: int) -> FloatArray:
        """maj@k of each problem, (problems,)."""
        return np.array([majority_at(k, problem.votes, problem.scores) for problem in self.problems])

    def verl_majority_at(self, k: int) -> FloatArray:
        """verl's maj@k of each problem, over samples with an answer; 0 where there are none, (problems,)."""
        return np.array([_verl_majority(k, problem) for problem in self.problems])


def results_of(benchmark: str, scorer: str, problems: int, scores: Scores) -> Results:
    """Sort the samples of an evaluation by problem.

    Args:
        benchmark: Its name.
        scorer: Whose scores they are.
        problems: How many the benchmark has.
        scores: All samples.

    Raises:
        DataError: A problem has no sample yet, or the scorer has not judged all of them.
    """
    answered = np.array([finish != Finish.FAILED for finish in scores.finish], dtype=bool)
    missing = problems - np.unique(scores.place).size
    if missing:
        raise DataError(
            f"{benchmark}: {missing} of {problems} problems have no sample yet; the same `verl-spo evaluate` goes on"
        )
    if unjudged := int(np.isnan(scores.score[answered]).sum()):
        raise DataError(
            f"{benchmark}: {scorer!r} has not judged {unjudged} of {len(answered)} samples; `verl-spo score` lets it"
        )
    values = np.where(answered, scores.score, 0.0)
    votes = np.array([vote if there else "" for vote, there in zip(scores.vote, answered, strict=True)], dtype=object)
    of_problem = [scores.place == place for place in range(problems)]
    return Results(
        benchmark,
        scorer,
        [
            Problem(values[rows], number_answers(votes[rows].tolist()), votes[rows].tolist(), answered[rows])
            for rows in of_problem
        ],
        cut_off=scores.finish.count(Finish.LENGTH),
        failed=int((~answered).sum()),
        length=float(scores.length[answered].mean()) if answered.any() else float("nan"),
    )


def _verl_majority(k: int, problem: Problem) -> float:
    scores = problem.scores[problem.answered]
    return verl_majority_at(min(k, scores.size), problem.votes[problem.answered], scores) if scores.size else 0.0
