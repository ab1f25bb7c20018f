"""The core against a reference written from the papers' equations only: plain loops over all of the history."""

import math
import random

import numpy as np
import pytest

from verl_spo.config import SPOConfig
from verl_spo.core.advantage import normalize
from verl_spo.core.retention import make_retention
from verl_spo.core.tracker import ValueTracker

pytestmark = pytest.mark.slow

POOL, BATCH, STEPS = 13, 9, 400
CLOSE = {"rel": 1e-9, "abs": 1e-9}


class VisitReference:
    """[SPO] section 4: alpha <- rho * alpha + r, beta <- rho * beta + (1 - r), one outcome after the other."""

    def __init__(self, alpha, beta):
        self.alpha, self.beta = list(alpha), list(beta)

    def add(self, slot, reward, rho):
        self.alpha[slot] = rho * self.alpha[slot] + reward
        self.beta[slot] = rho * self.beta[slot] + (1 - reward)


class ForgottenReference:
    """D of every row: where it is unknown, the steps since the prompt's last visit at the pace of those known last."""

    def __init__(self):
        self.visited, self.pace = {}, math.inf

    def changes(self, rows, step):
        ages = [step - self.visited.get(slot, step) for slot, *_ in rows]
        known = [(row[-1], age) for row, age in zip(rows, ages, strict=True) if age > 0 and not math.isnan(row[-1])]
        if known:
            self.pace = sum(change for change, _ in known) / sum(age for _, age in known)
        self.visited.update((slot, step) for slot, *_ in rows)
        unknown = [self.pace * age if age > 0 else 0.0 for age in ages]
        return [guess if math.isnan(row[-1]) else row[-1] for row, guess in zip(rows, unknown, strict=True)]


class EventReference:
    """[SPO++] section 2.2: sums over every outcome ever seen, weighed by its distance in event time from the reader."""

    def __init__(self, alpha, beta):
        self.outcomes = [[(0.0, a, b)] for a, b in zip(alpha, beta, strict=True)]

    def add(self, slot, reward, z):
        self.outcomes[slot].append((z, reward, 1 - reward))

    def evidence(self, slot, clock):
        """alpha and beta at `clock`; times exp(clock - latest) they have the same ratio and do not underflow."""
        alpha = sum(math.exp(-(clock - z)) * a for z, a, _ in self.outcomes[slot])
        beta = sum(math.exp(-(clock - z)) * b for z, _, b in self.outcomes[slot])
        return alpha, beta

    def latest(self, slot):
        return max(z for z, _, _ in self.outcomes[slot])


def history(seed):
    """Steps of (slot, reward, lag, D) rows with repeats, empty batches and stragglers, and the drift that follows."""
    rng = random.Random(seed)
    for _ in range(STEPS):
        size = rng.choice([0, 1, BATCH, BATCH])
        rows = [
            (
                rng.randrange(POOL),
                rng.choice([0.0, 1.0, rng.random()]),
                rng.choice([0, 0, 1, 5]),
                rng.choice([math.nan, rng.expovariate(20), 0.0, 5.0]),
            )
            for _ in range(size)
        ]
        yield rows, rng.expovariate(20)


def start(seed):
    rng = random.Random(seed + 1000)
    return [rng.uniform(0.1, 8) for _ in range(POOL)], [rng.uniform(0.1, 8) for _ in range(POOL)]


def columns(rows, version):
    slots, rewards, lags, changes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return list(slots), list(rewards), [max(version - lag, 0) for lag in lags], list(changes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["constant", "kl"])
def test_ageing_by_visits(kind, seed):
    alpha, beta = start(seed)
    config = SPOConfig(retention=kind, rho=0.9, rho_min=0.5, rho_max=0.97, d_half=0.06)
    tracker, retention = ValueTracker(alpha, beta), make_retention(config, POOL, BATCH)
    reference, forgotten = VisitReference(alpha, beta), ForgottenReference()
    for version, (rows, drift) in enumerate(history(seed)):
        expected_rho = []
        for (slot, reward, *_), change in zip(rows, forgotten.changes(rows, version), strict=True):
            rho = 0.9 if kind == "constant" else min(max(0.5 ** (change / 0.06), 0.5), 0.97)
            reference.add(slot, reward, rho)
            expected_rho.append(rho)
        slots, rewards, versions, changes = columns(rows, version)
        used = retention.observe(tracker, slots, rewards, versions, changes, version)
        retention.publish(drift)
        assert used == pytest.approx(expected_rho, **CLOSE)
        assert tracker.alpha == pytest.approx(reference.alpha, **CLOSE)
        assert tracker.beta == pytest.approx(reference.beta, **CLOSE)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("event_step", ["scaled", "published"])
@pytest.mark.parametrize("kind", ["event", "drift"])
def test_ageing_by_events(kind, event_step, seed):
    alpha, beta = start(seed)
    config = SPOConfig(retention=kind, rho=0.9, rho_min=0.8, rho_max=0.97, d_half=0.06, event_step=event_step)
    tracker, retention = ValueTracker(alpha, beta), make_retention(config, POOL, BATCH)
    reference, coordinates = EventReference(alpha, beta), [0.0]
    for version, (rows, drift) in enumerate(history(seed)):
        slots, rewards, versions, changes = columns(rows, version)
        before = [reference.latest(slot) for slot in slots]
        for slot, reward, made_by in zip(slots, rewards, versions, strict=True):
            reference.add(slot, reward, coordinates[made_by])
        used = retention.observe(tracker, slots, rewards, versions, changes, version)
        expected = [math.exp(-max(coordinates[v] - z, 0.0)) for v, z in zip(versions, before, strict=True)]
        assert used == pytest.approx(expected, **CLOSE)

        step = -math.log(0.9)
        if kind == "drift":
            step = min(max(math.log(2) * drift / 0.06, -math.log(0.97)), -math.log(0.8))
        coordinates.append(coordinates[-1] + step * (BATCH / POOL if event_step == "scaled" else 1.0))
        retention.publish(drift)
        assert retention.clock == pytest.approx(coordinates[-1], **CLOSE)

        for slot in {*slots, version % POOL}:
            a, b = reference.evidence(slot, retention.clock)
            assert tracker.n_eff([slot], retention.clock)[0] == pytest.approx(a + b, **CLOSE)
            a, b = reference.evidence(slot, reference.latest(slot))
            assert tracker.value([slot])[0] == pytest.approx(a / (a + b), **CLOSE)
            assert tracker.alpha[slot] == pytest.approx(a, **CLOSE)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("how", ["trajectory", "token"])
def test_normalization(how, seed):
    rng = random.Random(seed)
    size = rng.randrange(2, 300)
    advantages = [rng.uniform(-1, 1) for _ in range(size)]
    lengths = [rng.randrange(1, 2000) for _ in range(size)]

    counts = lengths if how == "token" else [1] * size
    total = sum(counts)
    mean = sum(c * a for c, a in zip(counts, advantages, strict=True)) / total
    variance = sum(c * (a - mean) ** 2 for c, a in zip(counts, advantages, strict=True)) / (total - 1)
    expected = [(a - mean) / (math.sqrt(variance) + 1e-8) for a in advantages]

    assert normalize(advantages, np.array(lengths), how) == pytest.approx(expected, **CLOSE)
