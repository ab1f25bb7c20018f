"""How long a session takes, tools and waiting included: distributions by their mean in seconds, and stored sessions."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from verl_spo.errors import DataError
from verl_spo.store import Reader, queries
from verl_spo.store.records import FloatArray

FEWEST = 30
"""Stored sessions that a simulation may draw from; fewer say nothing of how long the slow ones take."""


class Durations(Protocol):
    """A distribution of seconds."""

    def draw(self, rng: np.random.Generator) -> float:
        """One session's seconds, >= 0."""


@dataclass(frozen=True)
class Constant:
    """Every session takes `mean` seconds."""

    mean: float

    def draw(self, rng: np.random.Generator) -> float:
        """The mean."""
        return self.mean

    def __str__(self) -> str:
        return f"constant, {self.mean:g} s"


@dataclass(frozen=True)
class Lognormal:
    """Seconds whose logarithm is normal with standard deviation `sigma` >= 0."""

    mean: float
    sigma: float

    def draw(self, rng: np.random.Generator) -> float:
        """One session's seconds."""
        return self.mean * math.exp(self.sigma * rng.standard_normal() - self.sigma**2 / 2)

    def __str__(self) -> str:
        return f"lognormal, mean {self.mean:g} s, sigma {self.sigma:g}"


@dataclass(frozen=True)
class Pareto:
    """A share x^-alpha of sessions takes more than x times the least, x >= 1; `alpha` > 1, or there is no mean."""

    mean: float
    alpha: float

    def draw(self, rng: np.random.Generator) -> float:
        """One session's seconds."""
        return self.mean * (1 - 1 / self.alpha) * (1 + rng.pareto(self.alpha))

    def __str__(self) -> str:
        return f"Pareto, mean {self.mean:g} s, alpha {self.alpha:g}"


@dataclass(frozen=True)
class Bimodal:
    """A share `slow` of all sessions takes `factor` times as long as the others."""

    mean: float
    slow: float
    factor: float

    def draw(self, rng: np.random.Generator) -> float:
        """One session's seconds."""
        fast = self.mean / (1 + self.slow * (self.factor - 1))
        return fast * self.factor if rng.random() < self.slow else fast

    def __str__(self) -> str:
        return f"bimodal, mean {self.mean:g} s, {self.slow:.0%} take {self.factor:g} times as long"


@dataclass(frozen=True)
class Empirical:
    """Draws from the seconds that sessions of a run took, (sessions,)."""

    run: str
    seconds: FloatArray

    def draw(self, rng: np.random.Generator) -> float:
        """One session's seconds."""
        return float(self.seconds[rng.integers(self.seconds.size)])

    def __str__(self) -> str:
        return f"{self.seconds.size:,} sessions of {self.run}, mean {self.seconds.mean():.3g} s"


def of_run(reader: Reader, name: str) -> Empirical:
    """The newest sessions of a run whose time is known.

    Raises:
        DataError: These are fewer than `FEWEST`, or none took any time.
        StoreError: There is no such run.
    """
    seconds = queries.session_seconds(reader, queries.run(reader, name).run.id)
    if seconds.size < FEWEST or not seconds.any():
        raise DataError(
            f"--run {name}: has {seconds.size} sessions with a known time, and at least {FEWEST} are needed; "
            "choose a longer run, or a distribution by --durations"
        )
    return Empirical(name, seconds)
