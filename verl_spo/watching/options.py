"""The limits of the rules, and how users write them: `NAME=VALUE`."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

from verl_spo.errors import ConfigError

VARIABLE = "VERL_SPO_RULES"
"""The environment variable with rules as `NAME=VALUE`, separated by spaces: of commands that are given none, and of the
pages."""


@dataclass(frozen=True)
class AlertRules:
    """When the rules raise an alert; docs/alerts.md gives the reasons for the defaults.

    Attributes:
        reward_drop: Share of its best so far that the reward may lose, in (0, 1]; 1 turns the rule off.
        reward_window: Steps that the reward is averaged over. At least 2.
        entropy_share: Share of its start below which the entropy has collapsed, in [0, 1); 0 turns it off.
        entropy_floor: Nats per token below which it has collapsed wherever it started. At least 0; 0 turns it off.
        entropy_window: Steps that the entropy is averaged over. At least 2.
        failure_share: Share of requests that may fail, in (0, 1]; 1 turns it off.
        failure_growth: By how much that share may have grown since the run's first steps, in (0, 1]; 1 turns it off.
        failure_window: Steps whose requests are counted. At least 1.
        stall_factor: Times the usual step that the next one may take. Above 1; inf turns the rule off.
        stall_least_s: Seconds that a step may take, however fast others are. At least 0.
        queue_share: Share of `spo.store.queue_steps` that may wait for the database. Above 0; inf turns the rule off.
        queue_window: Steps in a row at which that many wait. At least 1.
        disk_free_gb: GiB that must be free. At least 0; 0 turns it off.
        disk_writes: Times the largest amount that one step has taken of the disk (a checkpoint, as a rule) that must be
            free. At least 0; 0 turns it off.
    """

    reward_drop: float = 0.5
    reward_window: int = 20
    entropy_share: float = 0.05
    entropy_floor: float = 0.001
    entropy_window: int = 20
    failure_share: float = 0.25
    failure_growth: float = 0.1
    failure_window: int = 20
    stall_factor: float = 10.0
    stall_least_s: float = 600.0
    queue_share: float = 0.5
    queue_window: int = 5
    disk_free_gb: float = 5.0
    disk_writes: float = 1.0

    def __post_init__(self) -> None:
        for name in ("reward_drop", "failure_share", "failure_growth"):
            self._require(name, 0 < getattr(self, name) <= 1, "in (0, 1]")
        self._require("entropy_share", 0 <= self.entropy_share < 1, "in [0, 1)")
        for name in ("entropy_floor", "stall_least_s", "disk_free_gb", "disk_writes"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "at least 0 and finite")
        self._require("stall_factor", self.stall_factor > 1, "above 1")
        self._require("queue_share", self.queue_share > 0, "above 0")
        for name, least in (
            ("reward_window", 2),
            ("entropy_window", 2),
            ("failure_window", 1),
            ("queue_window", 1),
        ):
            self._require(name, least <= getattr(self, name) <= MOST_STEPS, f"from {least} to {MOST_STEPS}")

    @classmethod
    def parse(cls, rules: Iterable[str]) -> Self:
        """Rules as users write them, `NAME=VALUE` each; of those that are not named, the defaults.

        Raises:
            ConfigError: There is no such rule, or its value is no number or out of range.
        """
        kinds = {field.name: field.type for field in fields(cls)}
        given: dict[str, float] = {}
        for rule in rules:
            name, equals, value = rule.partition("=")
            if not equals:
                raise ConfigError(f"--rule {rule}: write NAME=VALUE, such as reward_drop={cls.reward_drop}")
            if name not in kinds:
                raise ConfigError(f"--rule {rule}: there is no such rule; there are {', '.join(kinds)}")
            given[name] = _number(rule, value, whole=kinds[name] is int)
        return cls(**given)  # type: ignore[arg-type]

    def _require(self, name: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ConfigError(f"--rule {name}={getattr(self, name)}: must be {wanted}")


MOST_STEPS = 150
"""Steps of a window, at most: so many, and as many again before them, are read."""


def _number(rule: str, value: str, whole: bool) -> float:
    try:
        return int(value) if whole else float(value)
    except ValueError:
        raise ConfigError(f"--rule {rule}: must be {'a whole number' if whole else 'a number'}") from None
