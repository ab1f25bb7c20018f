"""What was expected of the prompts that were drawn, and what came of them, over the latest observations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Select, select

from verl_spo.core.interval import wilson_interval
from verl_spo.store import bulk
from verl_spo.store.database.reader import Reader
from verl_spo.store.queries import window
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.queries.expected import value_before
from verl_spo.store.records import FloatArray, IntArray
from verl_spo.store.schema import Attempt, Observation

_MASS = 0.95
# Of what is worked out (expected.py), so that 0.5 lies in the bin that begins there.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Calibration:
    """Expected success against what happened, by bin of v_hat at dispatch, (bins,) each.

    Attributes:
        first_step: The first step that was read; 0 if none was.
        last_step: The last one.
        counts: Trajectories.
        expected: Mean v_hat; NaN where there is no trajectory.
        rewards: Mean reward; likewise.
        low: Lower end of the mean reward's 95 % interval (Wilson's); NaN also where rewards are not all 0 or 1.
        high: Upper end.
    """

    first_step: int
    last_step: int
    counts: IntArray
    expected: FloatArray
    rewards: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class Draws:
    """Trajectories by v_hat at dispatch, (bins,); steps from `first_step` to `last_step`, 0 if there are none."""

    first_step: int
    last_step: int
    counts: IntArray


@dataclass(frozen=True)
class Outcomes:
    """A run's trajectories of some steps by v_hat at dispatch, in equal bins over [0, 1]; the last one contains 1.

    Attributes:
        steps: (s,) ascending: those that have trajectories.
        counts: Trajectories, (s, bins).
        expected: Sum of their v_hat, (s, bins).
        rewards: Sum of their rewards, (s, bins).
        binary: Whether every reward is 0 or 1.
        complete: Whether all that was asked for is in it: no more than `window.MOST_OBSERVATIONS` are read.
    """

    steps: IntArray
    counts: IntArray
    expected: FloatArray
    rewards: FloatArray
    binary: bool
    complete: bool

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last step; 0 if there is none."""
        return (int(self.steps[0]), int(self.steps[-1])) if self.steps.size else (0, 0)

    def calibration(self) -> Calibration:
        """All steps together."""
        number = self.counts.sum(axis=0)
        with np.errstate(invalid="ignore"):
            expected, rewards = (sums.sum(axis=0) / number for sums in (self.expected, self.rewards))
        known = (number > 0) & self.binary
        ends = wilson_interval(np.where(known, rewards, 0.0), number, _MASS)
        low, high = (np.where(known, end, np.nan) for end in ends)
        return Calibration(*self.ends, number, expected, rewards, low, high)

    def draws(self) -> Draws:
        """All steps together."""
        return Draws(*self.ends, self.counts.sum(axis=0))


def outcomes(reader: Reader, run_id: int, after_step: int, until_step: int, bins: int = 10) -> Outcomes:
    """The trajectories of steps after one up to another one; of many, the latest. What is superseded is left out."""
    with reader.connect() as connection:
        first = max(window.first_step(connection, run_id, until_step), after_step + 1)
        earlier = select(Observation.step).where(
            Observation.run_id == run_id, Observation.step > after_step, Observation.step < first
        )
        before = value_before(connection, run_id)
        query: Select[*tuple[Any, ...]] = (
            select(Observation.step, before.label("expected"), Observation.reward)
            .join(Attempt, of_attempt(Observation))
            .where(Observation.run_id == run_id, Observation.step.between(first, until_step), counts(Observation))
            .where(before.is_not(None))
        )
        found = bulk.read_columns(connection, query)
        complete = connection.execute(earlier.limit(1)).first() is None
    steps, row = np.unique(found["step"], return_inverse=True)
    cells = row * bins + np.clip((found["expected"] * bins + _ROUNDING).astype(np.int64), 0, bins - 1)

    def total(weights: FloatArray) -> FloatArray:
        return np.bincount(cells, weights, steps.size * bins).reshape(steps.size, bins).astype(np.float64)

    return Outcomes(
        steps=steps,
        counts=total(np.ones(cells.size)).astype(np.int64),
        expected=total(found["expected"]),
        rewards=total(found["reward"]),
        binary=bool(np.isin(found["reward"], (0.0, 1.0)).all()),
        complete=complete,
    )


def calibration(reader: Reader, run_id: int, after_step: int, until_step: int, bins: int = 10) -> Calibration:
    """v_hat at dispatch against rewards in the latest of some steps (`outcomes`)."""
    return outcomes(reader, run_id, after_step, until_step, bins).calibration()


def draws(reader: Reader, run_id: int, after_step: int, until_step: int, bins: int = 20) -> Draws:
    """v_hat at dispatch of what was drawn in the latest of some steps (`outcomes`)."""
    return outcomes(reader, run_id, after_step, until_step, bins).draws()
