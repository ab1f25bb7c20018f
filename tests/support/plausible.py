"""A small run that looks like a real one: the core's own maths on a policy that learns by itself, the real writer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import TracebackType
from typing import Self

import numpy as np

from verl_spo.config import SPOConfig, StoreConfig
from verl_spo.core.advantage import normalize
from verl_spo.core.difficulty import DifficultyCounts
from verl_spo.core.histogram import ValueHistogram
from verl_spo.core.retention import make_retention
from verl_spo.core.sampling import PromptSampler
from verl_spo.core.tracker import ValueTracker
from verl_spo.store import RunWriter, open_writer
from verl_spo.store.records import Finish, Observations, Parent, PromptRecord, RunInfo, StepRecord, TrackerRows
from verl_spo.store.runs.status import Status
from verl_spo.store.text import Part

VALIDATION_EVERY = 10
CUT_OFF = 180
"""Tokens from which on a session counts as one that was cut off."""
PHASES = {"gen": 2.1, "old_log_prob": 0.5, "adv": 0.05, "update_actor": 1.4, "update_weights": 0.3}


@dataclass(frozen=True)
class Question:
    """A prompt and how likely the first policy answers it right."""

    text: str
    answer: str
    start: float
    source: str = "arithmetic"


def arithmetic(count: int, seed: int = 0) -> list[Question]:
    """Distinct additions of one to four digits: the longer, the harder."""
    rng = np.random.default_rng(seed)
    questions: dict[str, Question] = {}
    while len(questions) < count:
        digits = int(rng.integers(1, 5))
        left, right = (int(number) for number in rng.integers(10 ** (digits - 1), 10**digits, 2))
        start = float(np.clip(rng.normal(0.95 - 0.27 * digits, 0.15), 0.01, 0.97))
        text = f"What is {left} + {right}?"
        questions.setdefault(text, Question(text, str(left + right), start))
    return list(questions.values())


@dataclass
class PlausibleRun:
    """A training run of `len(questions)` prompts; used as a context manager, it ends as `finished`.

    Attributes:
        url: Of the database.
        name: Of the run.
        questions: The pool.
        batch: Trajectories a step.
        seed: Of all that is random.
        speed: Share of the way to the best policy that a step goes.
        wrong: What a wrong answer looks like.
        multi_turn: Whether the model asks a calculator before it answers, most of the times.
        parent: The run that it branches from, at whose step it begins.
    """

    url: str
    name: str = "arithmetic-spo"
    questions: Sequence[Question] = field(default_factory=lambda: arithmetic(96))
    batch: int = 32
    seed: int = 0
    speed: float = 0.02
    wrong: str = "I think the answer is 12."
    multi_turn: bool = False
    parent: Parent | None = None
    step: int = 0
    writer: RunWriter = field(init=False)

    def __post_init__(self) -> None:
        self.step = self.parent.step if self.parent else 0
        size = len(self.questions)
        options = SPOConfig()
        self._rng = np.random.default_rng(self.seed)
        self._skill = np.array([question.start for question in self.questions])
        self._tracker = ValueTracker.from_value(size, options.prior, options.prior_n_eff)
        self._retention = make_retention(options, size, self.batch)
        self._sampler = PromptSampler(size, seed=self.seed)
        self._histogram = ValueHistogram(self._tracker.value())
        names = list(dict.fromkeys(question.source for question in self.questions))
        sources = [names.index(question.source) for question in self.questions]
        self._difficulty = DifficultyCounts(self._tracker.value(), self._tracker.visits, sources, names)
        self.writer = open_writer(
            StoreConfig(url=self.url), self._info(), self._prompts(), self._rows(np.arange(size)), None
        )

    @property
    def uid(self) -> str:
        """The run's identity."""
        return blake2b(self.name.encode(), digest_size=16).hexdigest()

    def train(self, steps: int) -> Self:
        """Take steps, and return when they are in the database."""
        for _ in range(steps):
            self._train_step()
        self.writer.flush()
        return self

    def close(self, status: Status = Status.FINISHED) -> None:
        self.writer.close(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(Status.FINISHED if kind is None else "failed")

    def _train_step(self) -> None:
        self.step += 1
        slots = self._sampler.draw(self.batch, self._tracker, self._retention.clock)
        rewards = (self._rng.random(self.batch) < self._skill[slots]).astype(float)
        change = np.where(self._tracker.visits[slots] == 0, np.nan, self._rng.gamma(2.0, 0.01, self.batch))
        observations = self._observe(slots, rewards, change)
        self._skill += self.speed * (0.97 - self._skill)
        changed = np.unique(slots)
        moves = self._difficulty.update(changed, self._tracker.value(changed), self._tracker.visits[changed])
        summary = {
            "value_histogram": self._histogram.counts.tolist(),
            "n_prompts_visited": self._tracker.n_visited,
            "n_failed": 0,
            "classes": self._difficulty.by_source,
            "moves": moves,
        }
        rows, metrics = self._rows(changed), self._spo_metrics(observations)
        self.writer.submit(StepRecord(self.step, self._retention.clock, observations, rows, summary, metrics))
        self.writer.log(self.step, self._verl_metrics())

    def _observe(self, slots: np.ndarray, rewards: np.ndarray, change: np.ndarray) -> Observations:
        versions = np.full(self.batch, self.step - 1)
        baseline = self._tracker.value(slots)
        lengths = self._rng.integers(20, 200, self.batch)
        sessions = [self._session(*each) for each in zip(slots, rewards, lengths.tolist(), strict=True)]
        turns = np.array([sum(part.author == "model" for part in session) for session in sessions])
        rho = self._retention.observe(self._tracker, slots, rewards, versions, change, self.step)
        self._retention.publish()
        self._histogram.update(slots, self._tracker.value(slots))
        return Observations(
            slot=slots,
            policy_version=versions,
            reward=rewards,
            baseline=baseline,
            advantage=normalize(rewards - baseline, lengths, "trajectory"),
            rho=rho,
            policy_change=change,
            alpha=self._tracker.alpha[slots],
            beta=self._tracker.beta[slots],
            response_length=lengths,
            uid=[f"{self.step:08x}{row:08x}" for row in range(self.batch)],
            prompt_text=[f"<|user|>{self.questions[slot].text}<|assistant|>" for slot in slots],
            response_text=["".join(part.text for part in session) for session in sessions],
            parts=[session if len(session) > 1 else None for session in sessions],
            finish=[Finish.LENGTH if length > CUT_OFF else Finish.STOP for length in lengths],
            seconds=0.4 * turns + lengths / 60,
            turns=turns,
        )

    def _spo_metrics(self, observations: Observations) -> dict[str, float]:
        metrics = {
            "spo/reward": np.mean(observations.reward),
            "spo/p_hats": np.mean(observations.baseline),
            "spo/rho": np.mean(observations.rho),
            "spo/pool/value": self._histogram.mean,
            "spo/no_signal": np.mean(observations.advantage == 0),
            "spo/failed": 0.0,
            "spo/store/queue_depth": self.writer.queue_depth,
            "spo/pool/visited": self._tracker.n_visited / self._tracker.size,
            "spo/store/disk_free_gb": 212.0 - 0.01 * self.step,
        }
        if np.isfinite(observations.policy_change).any():
            metrics["spo/D"] = np.nanmean(observations.policy_change)
        return {name: float(value) for name, value in metrics.items()}

    def _verl_metrics(self) -> dict[str, float]:
        timing = {f"timing_s/{name}": mean * self._rng.uniform(0.9, 1.15) for name, mean in PHASES.items()}
        metrics = {
            "actor/entropy": 1.6 * np.exp(-self.step / 80) + self._rng.normal(0, 0.02),
            "actor/ppo_kl": self._rng.gamma(2.0, 0.0006),
            "actor/pg_clipfrac": self._rng.beta(2, 60),
            "actor/pg_clipfrac_lower": 0.0,
            "actor/grad_norm": self._rng.gamma(9.0, 0.1),
            "critic/score/mean": self._skill.mean(),
            "response_length/mean": 110 + 40 * self._skill.mean() + self._rng.normal(0, 4),
            "response_length/max": 199.0,
            "perf/throughput": self._rng.normal(1500, 60),
            "timing_s/step": sum(timing.values()) + 0.1,
            **timing,
        }
        if self.step % VALIDATION_EVERY == 0 or self.step == 1:
            solved = self._rng.random(256) < self._rng.choice(self._skill, 256)
            metrics["val-core/arithmetic/reward/mean@1"] = solved.mean()
        return {name: float(value) for name, value in metrics.items()}

    def _session(self, slot: int, reward: float, length: int) -> list[Part]:
        question = self.questions[slot]
        answer = f"The answer is {question.answer}." if reward else self.wrong
        # Some questions it answers by itself.
        if not self.multi_turn or slot % 4 == 0:
            return [Part("model", length, answer)]
        call = Part(
            "model", length // 2, f'<tool_call>{{"name": "calculator", "expression": "{question.text}"}}</tool_call>'
        )
        return [call, Part("environment", 7, f"\n{question.answer}\n"), Part("model", length - length // 2, answer)]

    def _rows(self, slots: np.ndarray) -> TrackerRows:
        t = self._tracker
        return TrackerRows(slots, t.alpha[slots], t.beta[slots], t.z[slots], t.visits[slots], t.last_step[slots])

    def _prompts(self) -> list[PromptRecord]:
        return [_record(question) for question in self.questions]

    def _info(self) -> RunInfo:
        return RunInfo(
            name=self.name,
            config={"trainer": {"total_training_steps": 200}, "spo": SPOConfig().to_dict()},
            versions={"verl": "0.9.1", "verl-spo": "0.1.0"},
            git={"commit": "0" * 40, "dirty": False},
            host="node-1",
            pool_digest=blake2b(json.dumps([q.text for q in self.questions]).encode(), digest_size=16).digest(),
            uid=self.uid,
            parent=self.parent,
        )


def _record(question: Question) -> PromptRecord:
    messages = [{"role": "user", "content": question.text}]
    identity = json.dumps([question.source, messages, question.answer]).encode()
    return PromptRecord(blake2b(identity, digest_size=16).digest(), question.source, messages, question.answer)
