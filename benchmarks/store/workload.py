"""Runs to write: records like a trainer's, of any size, from a seeded generator."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from verl_spo.store.records import Observations, PromptRecord, RunInfo, StepRecord, TrackerRows

WORDS = ("triangle", "prime", "integer", "matrix", "circle", "root", "sum", "probability", "sequence", "angle")
SOURCES = ("math", "arithmetic", "logic", "code")
METRICS = 60


def info(name: str) -> RunInfo:
    """A run's identity."""
    return RunInfo(name, {"trainer": {"nnodes": 1}}, {"verl": "0.9.1"}, None, "node", b"pool", name.encode().hex())


def prompts(size: int) -> Iterator[PromptRecord]:
    """A pool's prompts: some words in all of them, some in a tenth, one in each alone."""
    for number in range(size):
        word = WORDS[number * 7919 % len(WORDS)]
        text = f"Find the {word} of the number {number}. Reason step by step, and put the answer in a box."
        digest = blake2b(text.encode(), digest_size=16).digest()
        yield PromptRecord(digest, SOURCES[number % 4], [{"role": "user", "content": text}], str(number))


def tracker(size: int, rng: np.random.Generator) -> TrackerRows:
    """The state of a pool, half of which was visited."""
    visits = rng.integers(0, 2, size) * rng.integers(1, 30, size)
    alpha, beta = rng.uniform(0.5, 8, size), rng.uniform(0.5, 8, size)
    last_step = np.where(visits > 0, rng.integers(1, 1000, size), 0)
    return TrackerRows(np.arange(size), alpha, beta, np.zeros(size), visits, last_step)


@dataclass(frozen=True)
class Arrays:
    """What a trainer has in hand after a step: of the observations, and of the tracker's state; by name."""

    step: int
    observations: dict[str, Any]
    tracker: dict[str, Any]


class Trainer:
    """Steps of a run, each with arrays of its own, as a trainer has them in hand."""

    def __init__(self, pool: int, batch: int, seed: int = 0, after: int = 0) -> None:
        self._pool = pool
        self._batch = batch
        self._rng = np.random.default_rng(seed)
        self._sessions = [f"{number:032x}" for number in range(batch)]
        self._step = after

    def arrays(self) -> Arrays:
        """The next step's."""
        self._step += 1
        slots = self._rng.choice(self._pool, self._batch, replace=self._pool < self._batch)
        names = ("reward", "baseline", "advantage", "rho", "policy_change", "alpha", "beta")
        observations: dict[str, Any] = {name: self._rng.random(self._batch) + 0.01 for name in names}
        observations["policy_change"][::50] = np.nan
        observations["slot"] = slots
        observations["policy_version"] = np.full(self._batch, self._step - 1)
        observations["response_length"] = self._rng.integers(1, 8192, self._batch)
        observations["uid"] = self._sessions
        observations["finish"] = ["stop"] * self._batch
        observations["seconds"] = observations["response_length"] / 50.0
        observations["turns"] = np.ones(self._batch, dtype=np.int64)
        touched, last = np.unique(slots, return_index=True)
        tracker = {name: observations[name][last] for name in ("alpha", "beta")}
        step = np.full(len(touched), self._step)
        tracker |= {"slots": touched, "z": np.zeros(len(touched)), "visits": step, "last_step": step}
        return Arrays(self._step, observations, tracker)

    def record(self, arrays: Arrays) -> StepRecord:
        """The record of a step: what the trainer has to make before it hands it over."""
        observations, tracker = Observations(**arrays.observations), TrackerRows(**arrays.tracker)
        metrics = {f"spo/metric_{number}": float(number) for number in range(METRICS)}
        return StepRecord(arrays.step, 0.0, observations, tracker, {"value_histogram": [0] * 20}, metrics)
