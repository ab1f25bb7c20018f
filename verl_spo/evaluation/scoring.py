"""Stored samples, judged by a scorer, and what each votes for; in parallel, problem by problem."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from verl_spo.errors import ConfigError
from verl_spo.evaluation.canonical import canonical
from verl_spo.evaluation.classes import Form, votes
from verl_spo.rewards import SCORERS
from verl_spo.rewards.isolation import TIME_LIMIT_S, Processes
from verl_spo.rewards.judging import judge, why
from verl_spo.rewards.scorers import Scorer
from verl_spo.rewards.verdicts import Answer, Verdict

_LOG = logging.getLogger(__name__)
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Sample:
    """A response to a problem of a benchmark."""

    problem: int
    number: int
    """Of the sample, among those of its problem."""
    response: str
    truth: str
    """The problem's ground truth."""
    data_source: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The row's `extra_info`; the same for all samples of a problem."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a scorer says of a sample."""

    problem: int
    number: int
    score: float
    """In [0, 1]; 0 if there was no judgement."""
    found: str
    """The answer in the response, as the scorer gives it; empty if there is none."""
    vote: str
    """The same string for all samples of the problem whose answers are equal; empty if the sample abstains."""
    failed: bool
    """There was no judgement: it took too long, or raised an error."""


def score(
    samples: Iterable[Sample], scorer: str, *, processes: int | None = None, time_limit_s: float = TIME_LIMIT_S
) -> Iterator[list[Judged]]:
    """Judge samples, and yield a problem's, in the order they came, as soon as all of them are judged.

    A problem's samples belong in one call, since their votes depend on one another. So a caller that was interrupted
    leaves out the problems that it has. Equal responses to a problem are judged once. A judgement that fails is logged
    and has the score 0. Whoever stops listening waits for the problems that are being judged.

    Args:
        samples: In any order.
        scorer: A name in `SCORERS`.
        processes: How many judge at a time; by default as many as the machine has cores.
        time_limit_s: Seconds of work on one judgement or comparison.

    Raises:
        ConfigError: There is no such scorer, it needs what is not installed, or nothing could be judged so.
    """
    chosen = _checked(scorer, processes, time_limit_s)
    problems: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        problems[sample.problem].append(sample)
    return _score(list(problems.values()), chosen, processes or os.cpu_count() or 1, time_limit_s)


def _checked(name: str, processes: int | None, time_limit_s: float) -> Scorer:
    if name not in SCORERS:
        raise ConfigError(f"scorer={name!r}: there are {', '.join(SCORERS)}")
    if processes is not None and processes < 1:
        raise ConfigError(f"processes={processes}: must be 1 or more")
    if not time_limit_s > 0:
        raise ConfigError(f"time_limit_s={time_limit_s}: must be above 0")
    SCORERS[name].check_installed("scorer")
    return SCORERS[name]


def _score(
    problems: Sequence[Sequence[Sample]], scorer: Scorer, number: int, time_limit_s: float
) -> Iterator[list[Judged]]:
    # More threads than processes: none of these waits for its next task.
    with _isolated(scorer, number) as processes, ThreadPoolExecutor(2 * number) as threads:
        tasks = [threads.submit(_judge, problem, scorer, processes, time_limit_s) for problem in problems]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _isolated(scorer: Scorer, number: int) -> AbstractContextManager[Processes | None]:
    return Processes(scorer.module, number) if scorer.isolated else nullcontext()


def _judge(samples: Sequence[Sample], scorer: Scorer, processes: Processes | None, time_limit_s: float) -> list[Judged]:
    """Those of one problem."""
    # What else an answer has is the problem's.
    answers = {
        (each.response, each.truth): Answer(each.data_source, each.response, each.truth, each.extra) for each in samples
    }
    judged = {key: judge(scorer, answer, time_limit_s, processes) for key, answer in answers.items()}
    verdicts = [judged[each.response, each.truth] for each in samples]
    equal = _Comparing(processes, time_limit_s) if scorer.name == "math_verify" and processes else None
    voted = votes([verdict.found if verdict else "" for verdict in verdicts], _form(scorer), equal)
    return [_judged(*each) for each in zip(samples, verdicts, voted, strict=True)]


def _form(scorer: Scorer) -> Form:
    """How a scorer sees that answers are equal. The reference recipe counts every blank."""
    forms: dict[str, Form] = {"math_verify": canonical, "reference": str}
    return forms.get(scorer.name, str.strip)


def _judged(sample: Sample, verdict: Verdict | None, vote: str) -> Judged:
    said = verdict or Verdict(0.0, "")
    return Judged(sample.problem, sample.number, said.score, said.found, vote, failed=verdict is None)


class _Comparing:
    """Whether Math-Verify takes two answers for equal.

    A comparison that fails is blamed on the rarer one, which is not compared again: a problem waits once for an answer.
    """

    def __init__(self, processes: Processes, time_limit_s: float) -> None:
        self._processes = processes
        self._time_limit_s = time_limit_s
        self._failed: set[str] = set()

    def __call__(self, rarer: str, other: str) -> bool:
        if {rarer, other} & self._failed:
            return False
        try:
            return bool(self._processes.start("equal", (rarer, other), self._time_limit_s).result())
        # As with a judgement: it may time out, crash or raise anything.
        except Exception as error:
            self._failed.add(rarer)
            _LOG.warning("%r and %r count as different: no comparison: %s", *map(_shown, (rarer, other)), why(error))
            return False


def _shown(answer: str) -> str:
    return answer[:_SHOWN_CHARACTERS]
