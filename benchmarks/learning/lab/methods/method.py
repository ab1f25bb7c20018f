"""What the loop asks of a method."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from benchmarks.learning.lab.policy import Samples
from verl_spo.core.arrays import BoolArray, FloatArray, IntArray

Advantages = FloatArray
"""One per trajectory, (n,), or one per response token, (n, T)."""


class Method(ABC):
    """A method; what most of them have in common stands here."""

    @abstractmethod
    def draw(self, n: int) -> IntArray:
        """The prompts of the next n trajectories, (n,)."""

    @abstractmethod
    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> Advantages:
        """What each trajectory teaches; `parts` are the rows that arrive together."""

    def kept(self, rewards: FloatArray) -> BoolArray:
        """Which trajectories of a draw are trained on, (n,); the loop draws more until it has a batch of them."""
        return np.ones(len(rewards), dtype=np.bool_)

    def published(self, changes: list[float]) -> None:  # noqa: B027 (most methods do nothing with it)
        """The update is done; `changes` are what `update` returned."""

    def values(self) -> FloatArray | None:
        """What it takes each prompt's expected reward to be, (pool,); None if it does not ask itself that."""
        return None

    def metrics(self) -> dict[str, float]:
        """Means over the run."""
        return {}
