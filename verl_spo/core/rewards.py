"""The door for rewards: whatever the reward function's range, SPO learns from [0, 1]."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.config import SPOConfig
from verl_spo.core.arrays import BoolArray, FloatArray, as_floats
from verl_spo.errors import RewardError

# Rewards arrive as float32, in which 0.7 is 0.69999999.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class RewardScale:
    """A linear map of [low, high] to [0, 1], or a threshold.

    Attributes:
        low: Reward that counts as 0.
        high: Reward that counts as 1, above `low`.
        threshold: If set, rewards at or above it count as 1 and others as 0; in the reward's own unit.
        clip: Whether a reward outside [low, high] counts as the nearer bound; else it is an error.
    """

    low: float = 0.0
    high: float = 1.0
    threshold: float | None = None
    clip: bool = False

    @classmethod
    def of(cls, options: SPOConfig) -> Self:
        """The scale that `options` ask for."""
        clip = options.reward_out_of_range == "clip"
        return cls(options.reward_low, options.reward_high, options.reward_threshold, clip)

    def outside(self, rewards: ArrayLike) -> BoolArray:
        """Which rewards (n,) are NaN or lie outside [low, high]; rounding by float32 is forgiven. (n,)."""
        values = as_floats(rewards)
        return ~((values >= self.low - self._slack) & (values <= self.high + self._slack))

    def scale(self, rewards: ArrayLike, describe: Callable[[int], str] | None = None) -> FloatArray:
        """Rewards (n,) in [0, 1].

        Args:
            rewards: (n,), in [low, high] unless they are clipped.
            describe: Names the prompt of the i-th reward, for the error; called only then.

        Raises:
            RewardError: A reward is NaN, or out of range and not to be clipped. Names the first such prompt, and the
                option.
        """
        values = as_floats(rewards)
        wrong = np.isnan(values) if self.clip else self.outside(values)
        if wrong.any():
            first = int(np.argmax(wrong))
            self._refuse(float(values[first]), describe(first) if describe else f"number {first}")
        if self.threshold is not None:
            return np.where(values >= self.threshold - self._slack, 1.0, 0.0)
        return (np.clip(values, self.low, self.high) - self.low) / (self.high - self.low)

    def unscale(self, total: float, count: int) -> FloatArray:
        """`count` rewards in their own unit whose scaled sum is `total`, in [0, count]: at most one is in between."""
        scaled = np.clip(total - np.arange(count), 0.0, 1.0)
        return self.low + scaled * (self.high - self.low)

    @property
    def _slack(self) -> float:
        return _ROUNDING * max(abs(self.low), abs(self.high))

    def _refuse(self, reward: float, name: str) -> None:
        if np.isnan(reward):
            raise RewardError(f"reward=nan for prompt {name}: the reward function must return a number")
        raise RewardError(
            f"reward={reward:g} for prompt {name}: must lie in [{self.low:g}, {self.high:g}]; "
            "set spo.reward_low and spo.reward_high to the reward function's range, or spo.reward_out_of_range=clip"
        )
