"""What order statistics say of a batch, exactly: another way to the simulation's figures, without events.

All sessions of a batch start at once, and each has a slot. Distributions are scipy's, by their quantiles.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import betaincinv, ndtri

Quantiles = Callable[[float], float]
"""Seconds that a share in (0, 1) of all sessions does not exceed."""


def lognormal(mean: float, sigma: float) -> Quantiles:
    """Of `simulation.durations.Lognormal`."""
    return lambda share: mean * math.exp(sigma * ndtri(share) - sigma**2 / 2)


def expected(quantiles: Quantiles, place: int, number: int) -> float:
    """Expected `place`-th of `number` durations in ascending order, 1 being the shortest."""
    # The share of all sessions that do not take longer is distributed so. Over its quantiles nothing has a peak.
    value: float = quad(lambda u: quantiles(betaincinv(place, number - place + 1, u)), 0, 1, limit=200, epsrel=1e-6)[0]
    return value


def longest(quantiles: Quantiles, group: int) -> Quantiles:
    """Of the longest of a group."""
    return lambda share: quantiles(share ** (1 / group))


def length(quantiles: Quantiles, place: int, number: int, mean: float) -> float:
    """Mean of the `place` shortest of `number`, in means of the distribution."""
    return float(np.mean([expected(quantiles, each, number) for each in range(1, place + 1)])) / mean


def ratio(quantiles: Quantiles, batch: int, over: float) -> float:
    """How many times as fast the first `batch` of `batch * (1 + over)` are there as all of `batch`."""
    return expected(quantiles, batch, batch) / expected(quantiles, batch, round(batch * (1 + over)))


def groups_ratio(quantiles: Quantiles, batch: int, group: int, over: float) -> float:
    """The same if whole groups are waited for, and groups are over-provisioned too."""
    units, of_group = batch // group, longest(quantiles, group)
    return expected(quantiles, batch, batch) / expected(of_group, units, round(units * (1 + over)))


def sigma_of(wanted: float, batch: int, over: float) -> float:
    """The lognormal sigma at which `ratio` is as wanted."""
    found: float = brentq(lambda sigma: ratio(lognormal(1, sigma), batch, over) - wanted, 0.05, 3)
    return found
