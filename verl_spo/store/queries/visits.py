"""What a filter of prompts asks of their latest visits; of a long run, of those among its latest observations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from verl_spo.store import bulk
from verl_spo.store.queries import window
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.queries.expected import value_before
from verl_spo.store.records import FloatArray, IntArray
from verl_spo.store.schema import Attempt, Observation

Range = tuple[float | None, float | None]

_UNKNOWN = -1.0


@dataclass(frozen=True)
class Movement:
    """v_hat now minus v_hat before a prompt's first visit after step `since_step`: from `low` to `high`, both in it."""

    since_step: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Visits:
    """Observations that count, by prompt and time, (n,) each.

    Attributes:
        prompt_id: Whose.
        reward: What came of it.
        before: v_hat at dispatch; NaN where it is not known.
        after: v_hat after the step.
    """

    prompt_id: IntArray
    reward: FloatArray
    before: FloatArray
    after: FloatArray

    @classmethod
    def latest(cls, connection: Connection, run_id: int, after_step: int = -1) -> "Visits":
        """A run's latest ones, as many as may be read (`window`), after a step."""
        first = max(window.first_step(connection, run_id), after_step + 1)
        before = func.coalesce(value_before(connection, run_id), _UNKNOWN, type_=Observation.baseline.type)
        query = (
            select(
                Observation.prompt_id, Observation.step, Observation.seq, Observation.reward, before.label("before"),
                Observation.alpha, Observation.beta,
            )
            .join(Attempt, of_attempt(Observation))
            .where(Observation.run_id == run_id, Observation.step >= first, counts(Observation))
        )  # fmt: skip
        found = bulk.read_columns(connection, query)
        order = np.lexsort((found["seq"], found["step"], found["prompt_id"]))
        found = {name: values[order] for name, values in found.items()}
        return cls(
            prompt_id=found["prompt_id"],
            reward=found["reward"],
            before=np.where(found["before"] == _UNKNOWN, np.nan, found["before"]),
            after=found["alpha"] / (found["alpha"] + found["beta"]),
        )

    def ended_within(self, within: Range) -> IntArray:
        """Prompts, the reward of whose last visit lies in a range."""
        _, last = self._ends()
        return self.prompt_id[last][inside(self.reward[last], within)]

    def moved_within(self, within: Range) -> IntArray:
        """Prompts whose v_hat has changed, from before their first visit until after the last, by so much."""
        first, last = self._ends()
        return self.prompt_id[last][inside(self.after[last] - self.before[first], within)]

    def _ends(self) -> tuple[IntArray, IntArray]:
        """Where each prompt's visits begin and end."""
        changes = np.flatnonzero(np.diff(self.prompt_id)) + 1
        if not self.prompt_id.size:
            return changes, changes
        return np.append(0, changes), np.append(changes - 1, self.prompt_id.size - 1)


def inside(values: FloatArray | IntArray, within: Range) -> NDArray[np.bool_]:
    """Which numbers are known and lie in a range, (n,)."""
    low, high = within
    known = ~np.isnan(values)
    return known & (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
