"""Evaluations, their samples, and what scorers say of them; `verl_spo.evaluation` works results out from these."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, case, func, select

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import kept_through
from verl_spo.store.records import Finish, FloatArray, IntArray, Origin
from verl_spo.store.schema import (
    Base,
    Evaluation,
    EvaluationProblem,
    Prompt,
    Sample,
    SampleText,
    Verdict,
)
from verl_spo.store.text import question, unpack_rollout

_IDS_A_QUERY = 10_000


@dataclass(frozen=True)
class EvaluationRow:
    """One policy on one benchmark; how many `samples` of it there are, and of how many the session has not failed."""

    id: int
    run_id: int | None
    attempt: int | None
    step: int
    model: str
    benchmark: str
    problems: int
    problems_digest: bytes
    wanted: int
    origin: str
    settings: Mapping[str, Any]
    started_at: float
    samples: int
    answered: int

    @property
    def complete(self) -> bool:
        """Whether all samples that were asked for are there.

        A validation is written at once, and its problems need not have equally many samples.
        """
        return self.origin == Origin.VALIDATION or self.samples >= self.wanted * self.problems

    @property
    def settled(self) -> bool:
        """Whether nothing will be added unless somebody asks for more: no sample is missing, and none has failed."""
        return self.origin == Origin.VALIDATION or self.answered >= self.wanted * self.problems


@dataclass(frozen=True)
class ProblemRow:
    """A problem of a benchmark; `place` counts from 0."""

    place: int
    prompt_id: int
    data_source: str
    question: str
    ground_truth: str


@dataclass(frozen=True)
class SampleRow:
    """A sample with its text, where that is kept, and what each scorer says of it."""

    place: int
    sample: int
    finish: str
    length: int
    seed: int
    policy_version: int
    prompt: str | None
    response: str | None
    verdicts: Mapping[str, "VerdictRow"]


@dataclass(frozen=True)
class VerdictRow:
    """What a scorer says of a sample."""

    score: float
    found: str
    vote: str
    failed: bool


@dataclass(frozen=True)
class Scores:
    """All samples of an evaluation as one scorer sees them, (n,) each, by place and sample.

    Attributes:
        place: Of the problem.
        sample: Among the problem's samples.
        score: In [0, 1]; NaN where the scorer has not judged, as it never does where the session failed.
        vote: The same for equal answers to a problem; empty abstains.
        finish: How the sample ended.
        length: Tokens that the model generated.
    """

    place: IntArray
    sample: IntArray
    score: FloatArray
    vote: Sequence[str]
    finish: Sequence[str]
    length: IntArray


def evaluations(
    reader: Reader,
    run_id: int | None,
    origin: Origin | None = None,
    step: int | None = None,
    known: Iterable[EvaluationRow] = (),
) -> list[EvaluationRow]:
    """The evaluations of a run, or those of models of no run, by step and benchmark; superseded ones are left out.

    Args:
        reader: The store.
        run_id: Of the run; None for models of no run.
        origin: Only those of this origin.
        step: Only those of the policy of this step.
        known: What was read before. Samples are counted of all but those of these that are settled.
    """
    which = [Evaluation.run_id.is_(None) if run_id is None else Evaluation.run_id == run_id]
    if origin is not None:
        which.append(Evaluation.origin == origin)
    if step is not None:
        which.append(Evaluation.step == step)
    names = [name for name in EvaluationRow.__annotations__ if name not in ("samples", "answered")]
    order = (Evaluation.step, Evaluation.benchmark, Evaluation.started_at, Evaluation.id)
    counted = {(row.id, row.wanted): (row.samples, row.answered) for row in known if row.settled}
    with reader.connect() as connection:
        kept = {} if run_id is None else kept_through(connection, run_id)
        rows = connection.execute(select(*_columns(Evaluation, names)).where(*which).order_by(*order)).all()
        there = [row for row in rows if row.attempt is None or row.step <= kept[row.attempt]]
        counts = samples_of(connection, [row.id for row in there if (row.id, row.wanted) not in counted])
    made = []
    for row in there:
        samples, answered = counted.get((row.id, row.wanted)) or counts.get(row.id, (0, 0))
        made.append(EvaluationRow(**row._mapping, samples=samples, answered=answered))
    return made


def samples_of(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """How many samples evaluations have, and of how many of them the session has not failed; those of none left out."""
    answered = func.sum(case((Sample.finish != Finish.FAILED, 1), else_=0))
    found: dict[int, tuple[int, int]] = {}
    for first in range(0, len(ids), _IDS_A_QUERY):
        some = ids[first : first + _IDS_A_QUERY]
        query = select(Sample.evaluation_id, func.count(), answered).where(Sample.evaluation_id.in_(some))
        for number, samples, well in connection.execute(query.group_by(Sample.evaluation_id)):
            found[number] = (int(samples), int(well))
    return found


def evaluation_problems(reader: Reader, evaluation_id: int) -> list[ProblemRow]:
    """An evaluation's problems, in order."""
    query = (
        select(EvaluationProblem.place, Prompt.id, Prompt.data_source, Prompt.messages, Prompt.ground_truth)
        .join(Prompt, Prompt.id == EvaluationProblem.prompt_id)
        .where(EvaluationProblem.evaluation_id == evaluation_id)
        .order_by(EvaluationProblem.place)
    )
    with reader.connect() as connection:
        rows = connection.execute(query).all()
    return [ProblemRow(row.place, row.id, row.data_source, question(row.messages), row.ground_truth) for row in rows]


def evaluation_scorers(reader: Reader, evaluation_id: int) -> dict[str, int]:
    """The scorers that have judged samples of an evaluation, and how many."""
    query = (
        select(Verdict.scorer, func.count())
        .where(Verdict.evaluation_id == evaluation_id)
        .group_by(Verdict.scorer)
        .order_by(Verdict.scorer)
    )
    with reader.connect() as connection:
        return {row.scorer: row[1] for row in connection.execute(query)}


def evaluation_scores(reader: Reader, evaluation_id: int, scorer: str) -> Scores:
    """All samples of an evaluation as a scorer sees them, without their texts."""
    query = (
        select(Sample.place, Sample.sample, Verdict.score, Verdict.vote, Sample.finish, Sample.length)
        .outerjoin(Verdict, and_(_same_sample(Verdict), Verdict.scorer == scorer))
        .where(Sample.evaluation_id == evaluation_id)
        .order_by(Sample.place, Sample.sample)
    )
    with reader.connect() as connection:
        rows = connection.execute(query).all()
    place, sample, score, vote, finish, length = zip(*rows, strict=True) if rows else [()] * 6
    return Scores(
        place=np.array(place, dtype=np.int64),
        sample=np.array(sample, dtype=np.int64),
        score=np.array(score, dtype=np.float64),
        vote=[each or "" for each in vote],
        finish=list(finish),
        length=np.array(length, dtype=np.int64),
    )


def evaluation_samples(reader: Reader, evaluation_id: int, place: int | None = None) -> list[SampleRow]:
    """The samples of a problem, or of all, with texts and verdicts."""
    which = Sample.evaluation_id == evaluation_id
    if place is not None:
        which = and_(which, Sample.place == place)
    samples: Select[*tuple[Any, ...]] = (
        select(*_columns(Sample, [*_OF_SAMPLE]), SampleText.content)
        .outerjoin(SampleText, _same_sample(SampleText))
        .where(which)
        .order_by(Sample.place, Sample.sample)
    )
    judged = select(Sample.place, Sample.sample, Verdict.scorer, *_columns(Verdict, [*VerdictRow.__annotations__]))
    with reader.connect() as connection:
        verdicts: dict[tuple[int, int], dict[str, VerdictRow]] = {}
        for row in connection.execute(judged.join(Verdict, _same_sample(Verdict)).where(which)):
            said = VerdictRow(row.score, row.found, row.vote, bool(row.failed))
            verdicts.setdefault((row.place, row.sample), {})[row.scorer] = said
        return [_sample(row, verdicts) for row in connection.execute(samples)]


_OF_SAMPLE = ("place", "sample", "finish", "length", "seed", "policy_version")


def _sample(row: Any, verdicts: Mapping[tuple[int, int], Mapping[str, VerdictRow]]) -> SampleRow:
    prompt, response = (None, None) if row.content is None else unpack_rollout(row.content)[:2]
    values = {name: getattr(row, name) for name in _OF_SAMPLE}
    return SampleRow(**values, prompt=prompt, response=response, verdicts=verdicts.get((row.place, row.sample), {}))


def _same_sample(other: type[Verdict | SampleText]) -> Any:
    return and_(other.evaluation_id == Sample.evaluation_id, other.place == Sample.place, other.sample == Sample.sample)


def _columns(model: type[Base], names: Sequence[str]) -> list[Any]:
    return [model.__table__.c[name] for name in names]
