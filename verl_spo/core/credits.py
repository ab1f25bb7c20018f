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
            passed_over: Prompts that share only what places the others leave, (P,).
        """
        has_weight = weights > 0
        first = self._draw_of(np.flatnonzero(has_weight & ~passed_over), n, weights)
        return np.concatenate([first, self._draw_of(np.flatnonzero(has_weight & passed_over), n - first.size, weights)])

    def _draw_of(self, slots: IntArray, count: int, weights: FloatArray) -> IntArray:
        """Draw `count` of these slots, or all of them if they are fewer."""
        count = min(count, slots.size)
        if count == 0:
            return slots[:0]
        self._owed[slots] += shares(weights[slots], count)
        drawn = slots[smallest(-self._owed[slots], count)]
        self._owed[drawn] -= 1.0
        return drawn

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


def shares(weights: FloatArray, count: int) -> FloatArray:
    """How many of `count` draws are each prompt's due, (n,): in proportion to its weight, but at most one.

    Args:
        weights: Above 0, (n,).
        count: Draws, at most n.
    """
    due: FloatArray = count * weights / weights.sum()
    # But for rounding.
    while (due > 1.0 + 1e-9).any():
        # What is too much for one is the others'.
        whole = due >= 1.0
        left = np.where(whole, 0.0, weights)
        due = np.where(whole, 1.0, (count - whole.sum()) * left / max(left.sum(), np.finfo(float).tiny))
    return due
