"""What the list of runs shows of each: asked for all runs at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, union_all

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.schema import Attempt, Metric, Run, Series, StepSummary

_RUNS_A_QUERY = 100


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


def _sketch(run_id: int, steps: Sequence[int]) -> Select[*tuple[Any, ...]]:
    columns = (StepSummary.run_id, StepSummary.step, StepSummary.attempt, StepSummary.time, StepSummary.reward_mean)
    return (
        select(*columns)
        .join(Attempt, of_attempt(StepSummary))
        .where(StepSummary.run_id == run_id, StepSummary.step.in_(steps), counts(StepSummary))
    )
