"""One run of the lab: draw, sample, score, update, and look at all prompts now and then."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rows import Row

from lab.methods import Variant, make_method
from lab.policy import Policy
from lab.task import Task
from lab.update import update
from verl_spo.core.advantage import no_signal_share


@dataclass(frozen=True)
class Setting:
    """What all methods of a table have in common.

    Attributes:
        name: Of the table.
        pool: Prompts.
        batch: Trajectories a step.
        steps: Training steps.
        lr: AdamW's learning rate.
        evaluate_every: Steps between two looks at the reward curve and the validation accuracy.
    """

    name: str
    pool: int = 1024
    batch: int = 128
    steps: int = 160
    lr: float = 3e-4
    evaluate_every: int = 10


def run(task: Task, setting: Setting, variant: Variant, seed: int) -> Row:
    """Train once; the same arguments give the same row on the same machine."""
    generator = torch.Generator().manual_seed(seed)
    policy = task.policy()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=setting.lr, weight_decay=0.01)
    method = make_method(variant, task.size, setting.batch, policy, seed)
    curve = [look(task, policy, 0)]
    idle, rewarded = [], []
    for step in range(1, setting.steps + 1):
        slots = method.draw(setting.batch)
        samples = policy.sample(task.prompts.rows(slots), generator)
        rewards = task.rewards(slots, samples.tokens)
        advantages = method.advantages(step, slots, samples, rewards)
        method.published(update(policy, optimizer, samples, advantages, generator))
        idle.append(no_signal_share(advantages))
        rewarded.append(float(rewards.mean()))
        if step % setting.evaluate_every == 0 or step == setting.steps:
            curve.append(look(task, policy, step))
    return Row.from_curve(
        curve,
        setting.batch,
        tier="lab",
        **identity(task, setting, variant, seed),
        degenerate=float(np.mean(idle)),
        extra_logprob_passes=round(policy.passes / setting.steps, 2),
        metrics={"batch_reward": float(np.mean(rewarded)), **method.metrics()},
    )


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
    return step, float(policy.success_rates(task.pool).mean()), float(policy.success_rates(task.validation).mean())
