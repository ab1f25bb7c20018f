"""One run of the lab: draw, sample, score, update, and look at all prompts now and then."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch.optim import Optimizer

from benchmarks.learning.lab import starting
from benchmarks.learning.lab.collecting import Batch, collect
from benchmarks.learning.lab.methods import Method, SPOMethod, Variant, make_method
from benchmarks.learning.lab.policy import Policy
from benchmarks.learning.lab.task import Task
from benchmarks.learning.lab.update import by_arrival, by_chance, update
from benchmarks.learning.rows import Row
from verl_spo.core.advantage import no_signal_share
from verl_spo.core.tracker import ValueTracker

ADDITIONS = "additions"
"""The demo's prompts, for which a policy of their own is trained."""

SORTING = "sorting"
"""Another task, with a starting policy of its own."""

_EARLIER = 1000
"""From a run's seed to that of what was before it."""


@dataclass(frozen=True)
class Setting:
    """What all methods of a table have in common.

    Attributes:
        name: Of the table.
        pool: Prompts.
        prompts: What they are: `ADDITIONS`, `SORTING` or a name of `pools.POOLS`.
        batch: Trajectories a step.
        steps: Training steps; a method that throws trajectories away has fewer, of as many trajectories in all.
        lr: AdamW's learning rate.
        evaluate_every: Steps between two looks at the reward curve and the validation accuracy.
        parts: Of a step's batch, which arrive one after the other, the shortest responses first; each is an update.
        delay: Tokens by which a wrong response arrives later than its length says.
        staleness: Updates between the generation of a batch and its own.
        shift: Whether every carry has to be forgotten from the middle of the run on.
    """

    name: str
    pool: int = 1024
    prompts: str = ADDITIONS
    batch: int = 128
    steps: int = 160
    lr: float = 3e-4
    evaluate_every: int = 10
    parts: int = 1
    delay: float = 0.0
    staleness: int = 0
    shift: bool = False


def run(task: Task, setting: Setting, variant: Variant, seed: int) -> Row:
    """Train once; the same arguments give the same row on the same machine."""
    return _run(task, setting, variant, seed)[0]


def _run(task: Task, setting: Setting, variant: Variant, seed: int) -> tuple[Row, Method]:
    generator = torch.Generator().manual_seed(seed)
    policy = task.policy()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=setting.lr, weight_decay=0.01)
    start = _start(task, setting, variant, seed, policy)
    method = make_method(variant, task.size, setting.batch, policy, seed, setting.parts > 1, start)
    now, looks, tokens = task, [look(task, policy, 0)], [0]
    generated, written, idle = 0, 0, 0.0
    rewarded: list[float] = []
    errors: list[float] = []
    waiting: deque[Batch] = deque()
    while generated < setting.steps * setting.batch:
        waiting.append(collect(method, now, policy, setting.batch, generator))
        generated, written = generated + waiting[-1].generated, written + waiting[-1].tokens
        idle += waiting[-1].generated - len(waiting[-1])
        if len(waiting) > setting.staleness and len(batch := waiting.popleft()):
            idle += _train(method, policy, optimizer, setting, batch, len(rewarded) + 1, generator)
            rewarded.append(float(batch.rewards.mean()))
        if now.later is not None and 2 * generated >= setting.steps * setting.batch:
            now = now.later
        if generated >= min(looks[-1][0] + setting.evaluate_every, setting.steps) * setting.batch:
            looks.append(look(now, policy, generated // setting.batch))
            tokens.append(written)
            errors += _error(method, now, policy)
    row = Row.from_curve(
        looks,
        setting.batch,
        tier="lab",
        **identity(task, setting, variant, seed),
        degenerate=idle / generated,
        extra_logprob_passes=round(policy.passes / max(len(rewarded), 1), 2),
        metrics={
            **_mean("batch_reward", rewarded),
            **_mean("value_error", errors),
            **method.metrics(),
            **breadth(now, policy),
        },
        tokens=tokens,
    )
    return row, method


def _start(task: Task, setting: Setting, variant: Variant, seed: int, policy: Policy) -> ValueTracker | None:
    """What SPO's tracker starts from; None for the prior. What it takes to know that is not counted."""
    match variant.init:
        case "run":
            whole = Variant("spo", variant.retention, variant.normalization)
            _, earlier = _run(task, replace(setting, evaluate_every=setting.steps), whole, seed + _EARLIER)
            return starting.from_run(cast(SPOMethod, earlier).tracker)
        case "rollouts":
            return starting.from_rollouts(task, policy, torch.Generator().manual_seed(seed + _EARLIER))
    return None


def _mean(name: str, values: Sequence[float]) -> dict[str, float]:
    """A metric; none without values."""
    return {name: float(np.mean(values))} if values else {}


def _error(method: Method, task: Task, policy: Policy) -> list[float]:
    """How far off a method takes the expected rewards of the pool to be, on average; empty if it does not say."""
    values = method.values()
    if values is None:
        return []
    rates = task.expected(policy)
    return [float(np.abs(values[: rates.size] - rates).mean())]


def _train(
    method: Method,
    policy: Policy,
    optimizer: Optimizer,
    setting: Setting,
    batch: Batch,
    step: int,
    generator: torch.Generator,
) -> float:
    """One step; returns how many trajectories had no signal."""
    parts = by_arrival(batch.samples.tokens.lengths + setting.delay * (1 - batch.rewards), setting.parts)
    advantages = method.advantages(step, batch.slots, batch.samples, batch.rewards, parts)
    mini_batches = parts if setting.parts > 1 else by_chance(len(batch), generator)
    before = policy.frozen_log_probs(batch.samples.tokens) if setting.staleness else None
    method.published(update(policy, optimizer, batch.samples, advantages, mini_batches, before))
    return len(batch) * no_signal_share(np.abs(advantages).reshape(len(batch), -1).max(1))


def identity(task: Task, setting: Setting, variant: Variant, seed: int) -> dict[str, Any]:
    """The fields of a row that say what was run."""
    return {
        "setting": setting.name,
        "method": variant.method,
        "retention": variant.retention,
        "normalization": variant.normalization,
        "seed": seed,
        "steps": setting.steps,
        "pool": task.size,
        "lr": setting.lr,
        "policy": task.policy_digest,
    }


def look(task: Task, policy: Policy, step: int) -> tuple[int, float, float]:
    """A point of the curve: expected reward over the pool and validation accuracy."""
    return step, float(task.expected(policy).mean()), float(policy.success_rates(task.validation).mean())


def breadth(task: Task, policy: Policy) -> dict[str, float]:
    """What a policy has left beside its likeliest answers: entropy in nats per token, and pass@8 on validation.

    The entropy is exact at every token of one response to each prompt of the pool; pass@8 follows from exact rates.
    """
    samples = policy.sample(task.pool.prompts, torch.Generator().manual_seed(0))
    failing = 1.0 - policy.success_rates(task.validation)
    return {"entropy": policy.entropy(samples.tokens), "pass_at_8": float((1.0 - failing**8).mean())}
