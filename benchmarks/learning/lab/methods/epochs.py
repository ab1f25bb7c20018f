"""Prompts in epochs, as a data loader deals them."""

import numpy as np

from benchmarks.learning.lab.methods.method import Method
from benchmarks.learning.lab.policy import Policy
from verl_spo.core.arrays import IntArray


class Epochs:
    """Prompts in epochs over the pool, shuffled anew, as a data loader deals them."""

    def __init__(self, pool_size: int, seed: int) -> None:
        self._rng, self._size = np.random.default_rng(seed), pool_size
        self._queue: IntArray = np.empty(0, dtype=np.int64)

    def take(self, n: int) -> IntArray:
        """The next `n` prompts."""
        while self._queue.size < n:
            self._queue = np.concatenate([self._queue, self._rng.permutation(self._size)])
        taken, self._queue = self._queue[:n], self._queue[n:]
        return taken


class Dealt(Method):
    """A method whose prompts come in epochs."""

    def __init__(self, pool_size: int, seed: int, policy: Policy) -> None:
        self._epochs, self._policy = Epochs(pool_size, seed), policy

    def draw(self, n: int) -> IntArray:
        return self._epochs.take(n)
