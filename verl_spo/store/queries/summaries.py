"""One row per step: what the value tracker looked like over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.records import FloatArray, IntArray
from verl_spo.store.schema import Attempt, Run, StepSummary


@dataclass(frozen=True)
class SummaryRow:
    """A step.

    Attributes:
        attempt: Of the run, that made it.
        time: When it ended, seconds since the epoch.
        observations: Trajectories.
        reward_mean: None without any.
        value_histogram: Prompts of the pool in equal bins of v_hat over [0, 1].
        details: Further counts.
    """

    step: int
    attempt: int
    time: float
    clock: float
    observations: int
    reward_mean: float | None
    value_histogram: list[int]
    details: Mapping[str, Any]


def step_summaries(
    reader: Reader, run_id: int, after_step: int = -1, limit: int = 100_000, stride: int = 1
) -> list[SummaryRow]:
    """A run's steps in order, after a step; of every `stride` steps one. What is superseded is left out."""
    columns = (StepSummary.__table__.c[name] for name in SummaryRow.__annotations__)
    query = (
        select(*columns)
        .join(Attempt, of_attempt(StepSummary))
        .where(StepSummary.run_id == run_id, StepSummary.step > after_step, counts(StepSummary))
        .where(StepSummary.step % stride == 0)
        .order_by(StepSummary.step, StepSummary.attempt)
        .limit(limit)
    )
    with reader.connect() as connection:
        return [SummaryRow(**row._mapping) for row in connection.execute(query)]


@dataclass(frozen=True)
class Progress:
    """How far a run was at each step, (n,) each: when the step ended, and how many trajectories it had.

    Attributes:
        attempt: The run's attempt by then; what was read of an earlier one is void.
        steps: Ascending.
        times: Seconds since the epoch.
        trajectories: Of the step alone.
    """

    attempt: int
    steps: IntArray
    times: FloatArray
    trajectories: IntArray


def progress(reader: Reader, run_id: int, after_step: int = -1, limit: int = 100_000) -> Progress:
    """When a run's steps ended and how large they were, after a step. What is superseded is left out."""
    query = (
        select(StepSummary.step, StepSummary.time, StepSummary.observations)
        .join(Attempt, of_attempt(StepSummary))
        .where(StepSummary.run_id == run_id, StepSummary.step > after_step, counts(StepSummary))
        .order_by(StepSummary.step, StepSummary.attempt)
        .limit(limit)
    )
    with reader.connect() as connection:
        attempt = connection.execute(select(Run.attempt).where(Run.id == run_id)).scalar_one()
        rows = connection.execute(query).all()
    steps, times, observations = zip(*rows, strict=True) if rows else [()] * 3
    return Progress(
        attempt,
        np.array(steps, dtype=np.int64),
        np.array(times, dtype=np.float64),
        np.array(observations, dtype=np.int64),
    )


def rewards_at(reader: Reader, run_id: int, steps: Sequence[int]) -> list[tuple[int, float]]:
    """Some steps' mean rewards, by step: a sketch of a whole run from a few rows. What is superseded is left out."""
    query = (
        select(StepSummary.step, StepSummary.reward_mean)
        .join(Attempt, of_attempt(StepSummary))
        .where(StepSummary.run_id == run_id, StepSummary.step.in_(steps), counts(StepSummary))
        .where(StepSummary.reward_mean.is_not(None))
        .order_by(StepSummary.step)
    )
    with reader.connect() as connection:
        return [(row.step, row.reward_mean) for row in connection.execute(query)]
