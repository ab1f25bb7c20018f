"""The door for rewards: whatever the reward function's range, SPO learns from [0, 1]."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray, as_floats
from verl_spo.errors import RewardError

# Rewards arrive as float32, in which 0.7 is 0.69999999.
_ROUNDING = 1e-6


class RewardOptions(Protocol):
    """The options that say what a reward means; `verl_spo.config.SPOConfig` has them, with ranges."""

    @property
    def reward_low(self) -> float: ...
    @property
    def reward_high(self) -> float: ...
    @property
    def reward_threshold(self) -> float | None: ...


@dataclass(frozen=True)
class RewardScale:
    """A linear map of [low, high] to [0, 1], or a threshold.

    Attributes:
        low: Reward that counts as 0.
        high: Reward that counts as 1, above `low`.
        threshold: If set, rewards at or above it count as 1 and others as 0; in the reward's own unit.
    """

    low: float = 0.0
    high: float = 1.0
    threshold: float | None = None

    @classmethod
    def of(cls, options: RewardOptions) -> Self:
        """The scale that `options` ask for."""
        return cls(options.reward_low, options.reward_high, options.reward_threshold)

    def scale(self, rewards: ArrayLike, describe: Callable[[int], str] | None = None) -> FloatArray:
        """Rewards (n,) in [0, 1].

        Args:
            rewards: (n,), in [low, high]; rounding by float32 is forgiven.
            describe: Names the prompt of the i-th reward, for the error; called only then.

        Raises:
            RewardError: A reward is NaN or out of range. Names the first such prompt, and the option.
        """
        values = as_floats(rewards)
        slack = _ROUNDING * max(abs(self.low), abs(self.high))
        inside = (values >= self.low - slack) & (values <= self.high + slack)
        if not inside.all():
            first = int(np.argmin(inside))
            self._refuse(float(values[first]), describe(first) if describe else f"number {first}")
        if self.threshold is not None:
            return np.where(values >= self.threshold - slack, 1.0, 0.0)
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)

    def unscale(self, total: float, count: int) -> FloatArray:
        """`count` rewards in their own unit whose scaled sum is `total`, in [0, count]: at most one is in between."""
        scaled = np.clip(total - np.arange(count), 0.0, 1.0)
        return self.low + scaled * (self.high - self.low)

    def _refuse(self, reward: float, name: str) -> None:
        if np.isnan(reward):
            raise RewardError(f"reward=nan for prompt {name}: the reward function must return a number")
        raise RewardError(
            f"reward={reward:g} for prompt {name}: must lie in [{self.low:g}, {self.high:g}]; "
            "set spo.reward_low and spo.reward_high to the reward function's range"
        )
