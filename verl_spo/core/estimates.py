"""What is known of prompts before training: responses of the initial policy, or of another."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Estimates:
    """Rewards in [0, 1] from before training, summed by slot.

    Attributes:
        responses: (P,) how many there are.
        reward_sum: (P,) their sum.
    """

    responses: np.ndarray
    reward_sum: np.ndarray

    @classmethod
    def none(cls, pool_size: int) -> "Estimates":
        """No response to any prompt."""
        return cls(np.zeros(pool_size, dtype=np.int64), np.zeros(pool_size))

    def replace(self, slots: np.ndarray, responded: np.ndarray, rewards: np.ndarray) -> None:
        """Put responses, the slot and the reward (n,) of each, in the place of what `slots` had."""
        self.responses[slots], self.reward_sum[slots] = 0, 0.0
        self.add(responded, rewards)

    def add(self, responded: np.ndarray, rewards: np.ndarray) -> None:
        """Count responses, the slot and the reward (n,) of each."""
        np.add.at(self.responses, responded, 1)
        np.add.at(self.reward_sum, responded, rewards)

    def values(self, prior: float) -> np.ndarray:
        """v0 by slot: Jeffreys' estimate `(successes + 1/2) / (n0 + 1)`, and the prior where there is no response."""
        smoothed = (self.reward_sum + 0.5) / (self.responses + 1)
        return np.where(self.responses > 0, smoothed, prior)
