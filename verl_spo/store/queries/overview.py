"""What the list of runs shows of each: asked for all runs at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, union_all

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.queries.evaluations import samples_of
from verl_spo.store.records import Origin
from verl_spo.store.schema import Attempt, Evaluation, Metric, Run, Series, StepSummary, Verdict

_RUNS_A_QUERY = 100
_EVALUATIONS_A_QUERY = 10_000


@dataclass(frozen=True)
class SketchPoint:
    """A step of a run: when it ended, seconds since the epoch, and its mean reward, None without a trajectory."""

    step: int
    attempt: int
    time: float
    reward: float | None


def sketches(reader: Reader, steps: Mapping[int, Sequence[int]]) -> dict[int, list[SketchPoint]]:
    """Some steps of each run, in order: sketches of whole runs from a few rows. What is superseded is left out."""
    found: dict[int, list[SketchPoint]] = {run_id: [] for run_id in steps}
    wanted = [(run_id, at) for run_id, at in steps.items() if at]
    with reader.connect() as connection:
        for start in range(0, len(wanted), _RUNS_A_QUERY):
            of_runs = union_all(*(_sketch(run_id, at) for run_id, at in wanted[start : start + _RUNS_A_QUERY]))
            for run_id, *values in connection.execute(of_runs):
                found[run_id].append(SketchPoint(*values))
    return {run_id: sorted(points, key=lambda point: point.step) for run_id, points in found.items()}


def total_steps(reader: Reader, run_ids: Sequence[int]) -> dict[int, int]:
    """At which step runs are to end (`trainer.total_training_steps`); those that do not say so are left out."""
    found = options(reader, run_ids, "trainer.total_training_steps")
    return {run_id: int(total) for run_id, total in found.items() if total.isdecimal()}


def options(reader: Reader, run_ids: Sequence[int], name: str) -> dict[int, str]:
    """An option of runs' present attempts, as text; those that do not have it are left out."""
    configured = Attempt.config[tuple(name.split("."))].as_string()
    query = (
        select(Run.id, configured)
        .join(Attempt, and_(Attempt.run_id == Run.id, Attempt.attempt == Run.attempt))
        .where(Run.id.in_(run_ids))
    )
    with reader.connect() as connection:
        found = connection.execute(query).all()
    return {run_id: value for run_id, value in found if value is not None}


def best_values(reader: Reader, run_ids: Sequence[int], prefix: str) -> dict[int, dict[str, float]]:
    """The largest value of each metric of runs whose name begins so. What is superseded is left out."""
    still_counts = or_(Attempt.kept_through.is_(None), Metric.step <= Attempt.kept_through)
    query = (
        select(Series.run_id, Series.name, func.max(Metric.value))
        .join(Metric, Metric.series_id == Series.id)
        .join(Attempt, and_(Attempt.run_id == Series.run_id, Attempt.attempt == Metric.attempt))
        .where(Series.run_id.in_(run_ids), Series.name.startswith(prefix, autoescape=True), still_counts)
        .group_by(Series.run_id, Series.name)
        .order_by(Series.run_id, Series.name)
    )
    best: dict[int, dict[str, float]] = {}
    with reader.connect() as connection:
        for run_id, name, value in connection.execute(query):
            if value is not None:
                best.setdefault(run_id, {})[name] = value
    return best


def best_scores(reader: Reader, run_ids: Sequence[int], scorers: Sequence[str]) -> dict[int, dict[str, float]]:
    """The best avg@k of each run's policies on each benchmark that it was evaluated on, by `benchmark avg@k`.

    Args:
        reader: The store.
        run_ids: Of the runs; those without an evaluation that is judged to its end are left out.
        scorers: Whose verdicts count: those of the first one that has judged all of a benchmark's evaluations.
    """
    asked = (
        select(Evaluation.id, Evaluation.run_id, Evaluation.benchmark, Evaluation.wanted, Evaluation.problems)
        .join(Attempt, of_attempt(Evaluation))
        .where(Evaluation.run_id.in_(run_ids), Evaluation.origin == Origin.EVALUATION, counts(Evaluation))
        .order_by(Evaluation.run_id, Evaluation.benchmark, Evaluation.wanted.desc())
    )
    with reader.connect() as connection:
        rows = connection.execute(asked).all()
        samples = samples_of(connection, [row.id for row in rows])
        whole = [row.id for row in rows if samples.get(row.id, (0, 0))[0] >= row.wanted * row.problems]
        means = _means(connection, {number: samples[number] for number in whole}, scorers)
    alike: dict[tuple[int, str], list[dict[str, float]]] = {}
    for row in rows:
        if row.id in means:
            alike.setdefault((row.run_id, f"{row.benchmark} avg@{row.wanted}"), []).append(means[row.id])
    best: dict[int, dict[str, float]] = {}
    for (run_id, name), found in alike.items():
        if judges := [scorer for scorer in scorers if all(scorer in each for each in found)]:
            best.setdefault(run_id, {})[name] = max(each[judges[0]] for each in found)
    return best


def _means(
    connection: Connection, samples: Mapping[int, tuple[int, int]], scorers: Sequence[str]
) -> dict[int, dict[str, float]]:
    """Mean scores of evaluations by each scorer that has judged all that was answered; a failed session scores 0."""
    ids, found = list(samples), dict[int, dict[str, float]]()
    for start in range(0, len(ids), _EVALUATIONS_A_QUERY):
        some = Verdict.evaluation_id.in_(ids[start : start + _EVALUATIONS_A_QUERY])
        query = (
            select(Verdict.evaluation_id, Verdict.scorer, func.count(), func.sum(Verdict.score))
            .where(some, Verdict.scorer.in_(scorers))
            .group_by(Verdict.evaluation_id, Verdict.scorer)
        )
        for number, scorer, count, total in connection.execute(query):
            drawn, answered = samples[number]
            if count >= answered:
                found.setdefault(number, {})[scorer] = total / drawn
    return found


def _sketch(run_id: int, steps: Sequence[int]) -> Select[*tuple[Any, ...]]:
    columns = (StepSummary.run_id, StepSummary.step, StepSummary.attempt, StepSummary.time, StepSummary.reward_mean)
    return (
        select(*columns)
        .join(Attempt, of_attempt(StepSummary))
        .where(StepSummary.run_id == run_id, StepSummary.step.in_(steps), counts(StepSummary))
    )
