"""How prompts are dealt: as a data loader does it, or as often as weights say."""

import numpy as np

from benchmarks.learning.lab.methods.method import Method
from benchmarks.learning.lab.policy import Policy
from verl_spo.core.arrays import FloatArray, IntArray


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


class Even:
    """Prompts as often as their weights say, as evenly over time as that can be, where draws leave it to chance.

    A prompt's credit grows by the share of the draws that is its due, and falls by 1 with each: those come first whose
    credit is highest. With equal weights this is one epoch after the other.
    """

    def __init__(self, pool_size: int, seed: int) -> None:
        self._credit = np.random.default_rng(seed).random(pool_size)

    def take(self, n: int, weights: FloatArray) -> IntArray:
        """The next `n` prompts, where the pool has these weights, (pool,)."""
        self._credit += np.minimum(n * weights / weights.sum(), 1.0)
        taken: IntArray = np.argpartition(-self._credit, n - 1)[:n]
        self._credit[taken] -= 1
        return taken


class Dealt(Method):
    """A method whose prompts come in epochs."""

    def __init__(self, pool_size: int, seed: int, policy: Policy) -> None:
        self._epochs, self._policy = Epochs(pool_size, seed), policy

    def draw(self, n: int) -> IntArray:
        return self._epochs.take(n)
