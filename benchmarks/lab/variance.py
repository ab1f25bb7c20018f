"""How much variance each baseline leaves in the gradient, measured on gradients of single responses.

A baseline leaves the expected gradient as it is: what it changes is the noise around it. Whatever is estimated (the
mean, the optima) is estimated on one half of the responses, and the variance measured on the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from lab.loop import Setting
from lab.methods import Reinforce, energies
from lab.policy import Policy, Samples
from lab.task import Task
from lab.update import update
from verl_spo.core.arrays import FloatArray
from verl_spo.core.baseline import Optimal

NONE, MEAN, VALUE = "none", "batch mean (REINFORCE++)", "true value (SPO's aim)"
ONE, BINNED = "optimal, one for all", "optimal, by value"


@dataclass(frozen=True)
class Point:
    """A policy on its way.

    Attributes:
        seed: Of the run.
        step: Of the run.
        reward: Mean over the pool.
        variance: Of one response's gradient (its trace), by baseline, relative to that of the batch's mean.
        energy_right: Mean squared gradient of right answers to prompts that the policy solves in more than 0.8 of the
            tries, relative to that of all answers.
        energy_wrong: Of wrong ones, likewise.
        correlation: Of `gradient_energy` with the squared gradient that it stands in for.
    """

    seed: int
    step: int
    reward: float
    variance: Mapping[str, float]
    energy_right: float
    energy_wrong: float
    correlation: float


def measure(task: Task, setting: Setting, seed: int, steps: tuple[int, ...], responses: int) -> list[Point]:
    """Train with REINFORCE++ and stop at `steps` to look at so many responses."""
    generator = torch.Generator().manual_seed(seed)
    policy, method = task.policy(), Reinforce(task.size, seed)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=setting.lr, weight_decay=0.01)
    points = []
    for step in range(max(steps) + 1):
        if step in steps:
            points.append(_look(task, policy, seed, step, responses, generator))
        slots = method.draw(setting.batch)
        samples = policy.sample(task.prompts.rows(slots), generator)
        advantages = method.advantages(step, slots, samples, task.rewards(slots, samples.tokens))
        update(policy, optimizer, samples, advantages, generator)
    return points


def _look(task: Task, policy: Policy, seed: int, step: int, responses: int, generator: torch.Generator) -> Point:
    values = policy.success_rates(task.pool)
    slots = np.random.default_rng((seed, step)).integers(values.size, size=responses)
    samples = policy.sample(task.prompts.rows(slots), generator)
    rewards, value = task.rewards(slots, samples.tokens), values[slots]
    gradients = _gradients(policy, samples)
    squares = (gradients**2).sum(1)
    fit, held_out = slice(0, responses // 2), slice(responses // 2, responses)
    baselines = _baselines(rewards[fit], value[fit], energies(samples)[fit], value[held_out])
    variance = {
        name: _variance(rewards[held_out] - baseline, gradients[held_out]) for name, baseline in baselines.items()
    }
    easy = value > 0.8
    return Point(
        seed=seed,
        step=step,
        reward=float(values.mean()),
        variance={name: each / variance[MEAN] for name, each in variance.items()},
        energy_right=float(squares[easy & (rewards == 1)].mean() / squares.mean()),
        energy_wrong=float(squares[easy & (rewards == 0)].mean() / squares.mean()),
        correlation=float(np.corrcoef(energies(samples), squares)[0, 1]),
    )


def _baselines(
    rewards: FloatArray, values: FloatArray, energy: FloatArray, at: FloatArray
) -> dict[str, FloatArray | float]:
    """What each baseline would be for prompts of value `at`, after these outcomes."""
    binned = Optimal(float(rewards.mean()), batch_size=rewards.size)
    binned.observe(values, rewards, energy)
    return {
        NONE: 0.0,
        MEAN: float(rewards.mean()),
        VALUE: at,
        ONE: float((energy * rewards).sum() / energy.sum()),
        BINNED: binned.at(at),
    }


def _variance(advantages: FloatArray, gradients: FloatArray) -> float:
    """Trace of the covariance of `advantage * gradient`."""
    second_moment = np.mean(advantages**2 * (gradients**2).sum(1))
    mean = advantages.astype(gradients.dtype) @ gradients / advantages.size
    return float(second_moment - (mean**2).sum())


def _gradients(policy: Policy, samples: Samples) -> FloatArray:
    """grad log pi of each response, (n, parameters) float32."""
    parameters = list(policy.model.parameters())
    rows = []
    for row in range(len(samples.log_probs)):
        total = policy.log_probs(samples.tokens.rows(slice(row, row + 1))).sum()
        rows.append(torch.cat([each.flatten() for each in torch.autograd.grad(total, parameters)]).numpy())
    gradients: FloatArray = np.stack(rows)
    return gradients


def table(points: list[Point]) -> str:
    """Markdown: a line a step, means over seeds."""
    names = (NONE, MEAN, VALUE, ONE, BINNED)
    head = ["step", "reward", *names, "right answers", "wrong answers", "correlation"]
    lines = [head, ["---:"] * len(head)]
    for step in sorted({point.step for point in points}):
        chosen = [point for point in points if point.step == step]
        figures = [
            np.mean([point.reward for point in chosen]),
            *(np.mean([point.variance[name] for point in chosen]) for name in names),
            np.mean([point.energy_right for point in chosen]),
            np.mean([point.energy_wrong for point in chosen]),
            np.mean([point.correlation for point in chosen]),
        ]
        lines.append([str(step), *(f"{figure:.2f}" for figure in figures)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
