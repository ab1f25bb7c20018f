"""One row per step: what the value tracker looked like over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.schema import Attempt, StepSummary


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
