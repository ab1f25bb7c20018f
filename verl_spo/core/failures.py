"""Prompts whose requests keep failing: they rest, longer each time.

Such a prompt brings no evidence, so that its weight stays what it was at the start, which is the highest there is.
"""

import math
from collections.abc import Mapping

import numpy as np

from verl_spo.core.arrays import BoolArray, IntArray, as_ints
from verl_spo.core.state import require_equal, require_fields

# Failures in a row after which a prompt rests for the first time. One alone is bad luck.
_REPEATED = 2
# A rest doubles so often.
_DOUBLINGS = 5


class Failures:
    """Failures in a row of P prompts, and who rests.

    After two of them a prompt rests for as many publications as it takes to visit the pool once, then for twice as
    many, and so on up to 32 times as many. A success ends it.

    Attributes:
        resting: (P,), whether a prompt should be passed over now.
    """

    def __init__(self, pool_size: int, batch_size: int) -> None:
        self._once = max(1, math.ceil(pool_size / batch_size))
        self._in_a_row: IntArray = np.zeros(pool_size, dtype=np.int64)
        self._until: IntArray = np.zeros(pool_size, dtype=np.int64)
        self.resting: BoolArray = np.zeros(pool_size, dtype=np.bool_)
        self._resting_slots: IntArray = np.zeros(0, dtype=np.int64)

    @property
    def n_resting(self) -> int:
        """How many prompts rest."""
        return self._resting_slots.size

    def note(self, slots: IntArray, now: int) -> None:
        """Requests of `slots` (n,) brought no trajectory; a slot may occur several times. `now` counts publications."""
        np.add.at(self._in_a_row, slots, 1)
        repeated = np.unique(slots[self._in_a_row[slots] >= _REPEATED])
        doublings = np.minimum(self._in_a_row[repeated] - _REPEATED, _DOUBLINGS)
        self._until[repeated] = now + self._once * 2**doublings
        self._rest(np.union1d(self._resting_slots, repeated))

    def clear(self, slots: IntArray) -> None:
        """Requests of `slots` (n,) brought a trajectory."""
        self._in_a_row[slots] = 0
        if self.resting[slots].any():
            self._rest(np.setdiff1d(self._resting_slots, slots))

    def wake(self, now: int) -> None:
        """Let those draw breath whose rest is over."""
        self._rest(self._resting_slots[self._until[self._resting_slots] > now])

    def _rest(self, slots: IntArray) -> None:
        self.resting[self._resting_slots] = False
        self.resting[slots] = True
        self._resting_slots = slots

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of what the next rests depend on."""
        return {"in_a_row": self._in_a_row.copy(), "until": self._until.copy(), "resting": self._resting_slots.copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            CheckpointError: Other fields, or another pool size.
        """
        require_fields("failures", state, self.state_dict())
        for name in ("in_a_row", "until"):
            require_equal("failures", f"{name} of shape", state[name].shape, self._until.shape)
        self._in_a_row, self._until = as_ints(state["in_a_row"]).copy(), as_ints(state["until"]).copy()
        self._rest(as_ints(state["resting"]))
