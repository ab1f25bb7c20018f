"""The scorers: where each is implemented, what it needs, and how its scores map to rewards in [0, 1]."""

import importlib.util
from dataclasses import dataclass

from verl_spo.errors import ConfigError, RewardError

# Scorers divide: 1 may come out a little larger.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Scorer:
    """A way to judge answers, implemented as a function `judge(answer) -> Verdict` in a module of its own."""

    name: str
    module: str
    needs: tuple[str, ...]
    """Packages that `pip install 'verl-spo[EXTRA]'` brings."""
    extra: str
    low: float
    """The score of a wrong answer: reward 0."""
    high: float
    """The score of a right answer: reward 1."""
    isolated: bool
    """Whether it can hang or crash on an answer, and runs in a process of its own."""

    def reward(self, score: float) -> float:
        """A score as a reward in [0, 1].

        Raises:
            RewardError: The score is NaN or lies outside [`low`, `high`].
        """
        share = (score - self.low) / (self.high - self.low)
        if not -_ROUNDING <= share <= 1 + _ROUNDING:
            raise RewardError(f"{self.name} gave the score {score!r}: it must lie in [{self.low:g}, {self.high:g}]")
        return min(max(share, 0.0), 1.0)

    def missing(self) -> list[str]:
        """What it needs and does not have."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    def check_installed(self, option: str = "reward.custom_reward_function.name") -> None:
        """Refuse to judge without the packages that this takes: that is no fault of any answer.

        Args:
            option: What chose the scorer, for the message.

        Raises:
            ConfigError: One is missing; the message says how to install it.
        """
        if missing := self.missing():
            raise ConfigError(
                f"{option}={self.name}: needs what `pip install 'verl-spo[{self.extra}]'` "
                f"brings on every node, and {', '.join(missing)} is not installed"
            )


SCORERS = {
    scorer.name: scorer
    for scorer in (
        # It looks at the last 300 characters with regular expressions: nothing to hang on.
        Scorer("math_dapo", "verl_spo.rewards.dapo", ("verl",), "verl", low=-1.0, high=1.0, isolated=False),
        Scorer(
            "math_verify", "verl_spo.rewards.latex", ("math_verify", "pebble"), "math", low=0.0, high=1.0, isolated=True
        ),
        Scorer(
            "reasoning_gym",
            "verl_spo.rewards.puzzles",
            ("reasoning_gym", "pebble"),
            "reasoning-gym",
            low=0.0,
            high=1.0,
            isolated=True,
        ),
        Scorer("reference", "verl_spo.rewards.strict_box", (), "", low=0.0, high=1.0, isolated=False),
    )
}
