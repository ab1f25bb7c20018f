"""Runs to write: small, deterministic, and shaped like real ones."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from verl_spo.config import StoreConfig
from verl_spo.core.tracker import ValueTracker
from verl_spo.store import RunWriter, open_writer
from verl_spo.store.records import (
    EvaluationInfo,
    EvaluationRecord,
    Finish,
    Observations,
    Origin,
    PromptRecord,
    RunInfo,
    Samples,
    StepRecord,
    TrackerRows,
)
from verl_spo.store.runs.status import Status
from verl_spo.store.text import Part

POOL = 40
BATCH = 8


def prompt(number: int, source: str = "arithmetic") -> PromptRecord:
    """A prompt of the pool."""
    digest = hashlib.blake2b(f"{source} {number}".encode(), digest_size=16).digest()
    messages = [
        {"role": "system", "content": "Answer with a number."},
        {"role": "user", "content": f"What is {number} + {number * 7 % 100}?"},
    ]
    return PromptRecord(digest, source, messages, str(number + number * 7 % 100))


def pool(size: int = POOL) -> list[PromptRecord]:
    """Prompts by slot; every tenth is of a source of its own."""
    return [prompt(number, "algebra" if number % 10 == 0 else "arithmetic") for number in range(size)]


def info(name: str = "demo/spo", uid: str = "a" * 32, **changes: Any) -> RunInfo:
    """Who a run is."""
    made = RunInfo(
        name=name,
        config={"trainer": {"total_training_steps": 100}},
        versions={"verl": "0.9.1"},
        git={"commit": "0" * 40, "dirty": False},
        host="node-1",
        pool_digest=b"p" * 16,
        uid=uid,
    )
    return replace(made, **changes)


def session(slot: int, step: int) -> list[Part] | None:
    """The parts of a response, of slots that are odd."""
    return [Part("model", 2, "answer"), Part("environment", 3, f" {slot} at {step}")] if slot % 2 else None


class Training:
    """A training run without a model: rewards come from a seeded generator, all else from the real tracker."""

    def __init__(self, size: int = POOL, batch: int = BATCH, seed: int = 0) -> None:
        self.tracker = ValueTracker.from_value(size)
        self.step = 0
        self._seed = seed
        self._batch = batch

    def rows(self, slots: np.ndarray | None = None) -> TrackerRows:
        """The tracker's state, of all slots or some."""
        chosen = np.arange(self.tracker.size) if slots is None else slots
        state = {name: getattr(self.tracker, name)[chosen] for name in ("alpha", "beta", "z", "visits", "last_step")}
        return TrackerRows(slots=chosen, **state)

    def advance(self, texts: bool = False) -> StepRecord:
        """Train one step: what it leaves for the store. Depends on nothing but the tracker, the step and the seed."""
        self.step += 1
        rng = np.random.default_rng([self._seed, self.step])
        slots = rng.choice(self.tracker.size, self._batch, replace=False)
        rewards = rng.integers(0, 2, self._batch).astype(float)
        baseline = self.tracker.value(slots)
        change = np.where(self.tracker.visits[slots] > 0, rng.random(self._batch) / 10, np.nan)
        rho = np.full(self._batch, 0.9)
        self.tracker.observe(slots, rewards, rho, self.step)
        observations = Observations(
            slot=slots,
            policy_version=np.full(self._batch, self.step - 1),
            reward=rewards,
            baseline=baseline,
            advantage=rewards - baseline,
            rho=rho,
            policy_change=change,
            alpha=self.tracker.alpha[slots],
            beta=self.tracker.beta[slots],
            response_length=rng.integers(1, 100, self._batch),
            uid=[f"{self.step:06d}-{place:04d}" for place in range(self._batch)],
            prompt_text=[f"prompt {slot}" for slot in slots] if texts else None,
            response_text=[f"answer {slot} at {self.step}" for slot in slots] if texts else None,
            parts=[session(int(slot), self.step) for slot in slots] if texts else None,
            finish=[(None, "stop", "length")[slot % 3] for slot in slots],
            seconds=np.where(slots % 3 == 0, np.nan, slots / 8),
            turns=np.where(slots % 3 == 0, -1, 1 + slots % 2),
        )
        counts = np.histogram(self.tracker.value(), bins=20, range=(0, 1))[0]
        summary = {"value_histogram": counts.tolist(), "n_prompts_visited": int((self.tracker.visits > 0).sum())}
        metrics = {"spo/reward": float(rewards.mean()), "spo/p_hats": float(baseline.mean())}
        return StepRecord(self.step, 0.0, observations, self.rows(slots), summary, metrics, time=1e9 + self.step)


def start(
    url: str, training: Training, run: RunInfo | None = None, resume_step: int | None = None, **options: Any
) -> RunWriter:
    """Open a writer for a training run."""
    config = StoreConfig(url=url, **options)
    return open_writer(config, run or info(), pool(training.tracker.size), training.rows(), resume_step)


@contextmanager
def writing(url: str, training: Training, **options: Any) -> Iterator[RunWriter]:
    """A writer that is closed as finished when the block ends well."""
    writer = start(url, training, **options)
    try:
        yield writer
    except BaseException:
        writer.close(Status.FAILED)
        raise
    writer.close(Status.FINISHED)


def trained(url: str, steps: int, texts: bool = False, evaluated_at: Sequence[int] = (), **options: Any) -> Training:
    """Write a whole run and return its training."""
    training = Training()
    with writing(url, training, **options) as writer:
        for _ in range(steps):
            writer.submit(training.advance(texts))
            if training.step in evaluated_at:
                writer.evaluate(evaluated(training.step))
    return training


def evaluation(step: int = 1, problems: int = 3, wanted: int = 4, **changes: Any) -> EvaluationInfo:
    """A policy on a benchmark."""
    asked = [prompt(1000 + number, "aime_2024") for number in range(problems)]
    made = EvaluationInfo("aime_2024", asked, wanted, step, "a/model", Origin.VALIDATION, {"temperature": 0.6})
    return replace(made, **changes)


def samples(info: EvaluationInfo, numbers: Sequence[int] | None = None, seed: int = 0) -> Samples:
    """An evaluation's samples, of all numbers or some; the last one of each problem has failed."""
    chosen = range(info.wanted) if numbers is None else numbers
    keys = [(place, number) for place in range(len(info.problems)) for number in chosen]
    place, number = map(np.array, zip(*keys, strict=True))
    failed = number == info.wanted - 1
    right = np.random.default_rng([seed, info.step]).integers(0, 2, (len(info.problems), info.wanted))[place, number]
    texts = [None if lost else f"answer {spot} {each}" for (spot, each), lost in zip(keys, failed, strict=True)]
    return Samples(
        place=place,
        sample=number,
        length=np.where(failed, 0, 10 + number),
        seed=np.where(failed, -1, 100 * place + number),
        policy_version=np.full(len(keys), info.step),
        reward=np.where(failed, np.nan, right),
        finish=[Finish.FAILED if lost else Finish.STOP for lost in failed],
        found=["" if lost else f" {each} " for each, lost in zip(right, failed, strict=True)],
        prompt_text=[None if text is None else f"problem {spot}" for (spot, _), text in zip(keys, texts, strict=True)],
        response_text=texts,
    )


def evaluated(step: int = 1, **changes: Any) -> EvaluationRecord:
    """An evaluation with all its samples."""
    info = evaluation(step, **changes)
    return EvaluationRecord(info, samples(info), time=1e9 + step)
