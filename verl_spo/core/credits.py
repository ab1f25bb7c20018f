"""Draws without luck: each prompt comes as often as its weight says, and as evenly over time as that can be.

Ours, not the papers': weighted draws leave to chance what epochs of a data loader do not, and epochs know no weights.
With equal weights this is one epoch after the other. `docs/learning.md` has what it is worth.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from verl_spo.core.arrays import BoolArray, FloatArray, IntArray, smallest
from verl_spo.core.state import require_equal, require_fields


class Credits:
    """How many draws each prompt is owed: its share of every draw, less those in which it came."""

    def __init__(self, pool_size: int, seed: int) -> None:
        # The first epoch's order is chance.
        self._owed = np.random.Generator(np.random.PCG64(seed)).random(pool_size)

    def draw(self, n: int, weights: FloatArray, passed_over: BoolArray) -> IntArray:
        """Draw those `n` different slots, (n,), that are owed most, first.

        Args:
            n: At most as many as have a weight.
            weights: At least 0, (P,); whoever has none is not drawn and owed nothing more.
            passed_over: Prompts that are drawn only when all others are, and then by what they are owed, (P,).
        """
        due = np.where(passed_over, 0.0, weights)
        if due.any():
            # Nobody comes twice in a draw, whatever the weight.
            self._owed += np.minimum(n * due / due.sum(), 1.0)
        first = self._most_owed(np.flatnonzero(due), n)
        drawn = np.concatenate([first, self._most_owed(np.flatnonzero((weights > 0) & passed_over), n - first.size)])
        self._owed[drawn] -= 1.0
        return drawn

    def _most_owed(self, slots: IntArray, count: int) -> IntArray:
        return slots[smallest(-self._owed[slots], count)]

    def state_dict(self) -> dict[str, np.ndarray]:
        """What is owed now."""
        return {"owed": self._owed.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            CheckpointError: Other fields or another pool size.
        """
        require_fields("credits", state, ("owed",))
        require_equal("credits", "shape", state["owed"].shape, self._owed.shape)
        self._owed = np.array(state["owed"], dtype=np.float64)
