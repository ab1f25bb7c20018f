"""How much variance each baseline leaves in the gradient, measured on gradients of single responses.

A baseline leaves the expected gradient as it is: what it changes is the noise around it. Whatever is estimated (the
mean, the optima) is estimated on one half of the responses, and the variance measured on the other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.learning.lab.loop import Setting
from benchmarks.learning.lab.methods.single import Reinforce, squared_norms
from benchmarks.learning.lab.policy import Policy, Samples
from benchmarks.learning.lab.task import Task
from benchmarks.learning.lab.update import by_chance, update
from verl_spo.core.arrays import FloatArray
from verl_spo.core.baseline import Optimal

NONE, MEAN, VALUE = "none", "batch mean (REINFORCE++)", "true value (SPO's aim)"
ONE, BINNED = "optimal, one for all", "optimal, by value"
# The same as `ONE` by what others have for the squared gradient: verl's optimal token baseline, and OPO.
LOGITS, LENGTH = "optimal, by all logits", "optimal, by length"
STAND_INS = {"chosen logits": ONE, "all logits": LOGITS, "length": LENGTH}


@dataclass(frozen=True)
class Point:
    """A policy on its way.

    Attributes:
        seed: Of the run.
        step: Of the run.
        reward: Mean over the pool.
        variance: Of one response's gradient (its trace), by baseline, relative to that of the batch's mean.
        squared_norm_right: Mean squared gradient norm of right answers to prompts that the policy solves in more than
            0.8 of the tries, relative to that of all answers.
        squared_norm_wrong: Of wrong ones, likewise.
        correlation: Of what stands for the squared gradient with it, by the baseline that it makes.
    """

    seed: int
    step: int
    reward: float
    variance: Mapping[str, float]
    squared_norm_right: float
    squared_norm_wrong: float
    correlation: Mapping[str, float]


def measure(task: Task, setting: Setting, seed: int, steps: tuple[int, ...], responses: int) -> list[Point]:
    """Train with REINFORCE++ and stop at `steps` to look at so many responses."""
    generator = torch.Generator().manual_seed(seed)
    policy = task.policy()
    method = Reinforce(task.size, seed, policy)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=setting.lr, weight_decay=0.01)
    points = []
    for step in range(max(steps) + 1):
        if step in steps:
            points.append(_look(task, policy, seed, step, responses, generator))
        slots = method.draw(setting.batch)
        samples = policy.sample(task.prompts.rows(slots), generator)
        advantages = method.advantages(step, slots, samples, task.rewards(slots, samples.tokens), [])
        update(policy, optimizer, samples, advantages, by_chance(setting.batch, generator))
    return points


def _look(task: Task, policy: Policy, seed: int, step: int, responses: int, generator: torch.Generator) -> Point:
    values = task.expected(policy)
    slots = np.random.default_rng((seed, step)).integers(values.size, size=responses)
    samples = policy.sample(task.prompts.rows(slots), generator)
    rewards, value = task.rewards(slots, samples.tokens), values[slots]
    gradients = _gradients(policy, samples)
    squares = (gradients**2).sum(1)
    fit, held_out = slice(0, responses // 2), slice(responses // 2, responses)
    stand_ins = {
        ONE: squared_norms(samples),
        LOGITS: policy.squared_logit_gradients(samples.tokens).sum(1),
        LENGTH: samples.tokens.lengths.astype(np.float64),
    }
    fitted = {name: each[fit] for name, each in stand_ins.items()}
    baselines = _baselines(rewards[fit], value[fit], fitted, value[held_out])
    variance = {
        name: _variance(rewards[held_out] - baseline, gradients[held_out]) for name, baseline in baselines.items()
    }
    easy = value > 0.8
    return Point(
        seed=seed,
        step=step,
        reward=float(values.mean()),
        variance={name: each / variance[MEAN] for name, each in variance.items()},
        squared_norm_right=float(squares[easy & (rewards == 1)].mean() / squares.mean()),
        squared_norm_wrong=float(squares[easy & (rewards == 0)].mean() / squares.mean()),
        correlation={name: float(np.corrcoef(each, squares)[0, 1]) for name, each in stand_ins.items()},
    )


def _baselines(
    rewards: FloatArray, values: FloatArray, stand_ins: Mapping[str, FloatArray], at: FloatArray
) -> dict[str, FloatArray | float]:
    """What each baseline would be for prompts of value `at`, after these outcomes."""
    binned = Optimal(float(rewards.mean()), batch_size=rewards.size)
    binned.observe(values, rewards, stand_ins[ONE])
    return {
        NONE: 0.0,
        MEAN: float(rewards.mean()),
        VALUE: at,
        BINNED: binned.at(at),
        **{name: float((weights * rewards).sum() / weights.sum()) for name, weights in stand_ins.items()},
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
    """Markdown: what each baseline leaves, and where it comes from; a line per step, means over seeds."""

    def figures(point: Point) -> dict[str, float]:
        return {
            "reward": point.reward,
            **{name: point.variance[name] for name in (NONE, MEAN, VALUE, ONE, BINNED)},
            "right answers": point.squared_norm_right,
            "wrong answers": point.squared_norm_wrong,
        }

    return _by_step(points, figures)


def stand_in_table(points: list[Point]) -> str:
    """Markdown: how well each stand-in for the squared gradient does; a line per step, means over seeds."""

    def figures(point: Point) -> dict[str, float]:
        correlations = {f"{name}: correlation": point.correlation[each] for name, each in STAND_INS.items()}
        return correlations | {f"{name}: variance": point.variance[each] for name, each in STAND_INS.items()}

    return _by_step(points, figures)


def _by_step(points: list[Point], figures: Callable[[Point], dict[str, float]]) -> str:
    head = ["step", *figures(points[0])]
    lines = [head, ["---:"] * len(head)]
    for step in sorted({point.step for point in points}):
        columns = zip(*(figures(point).values() for point in points if point.step == step), strict=True)
        lines.append([str(step), *(f"{np.mean(column):.2f}" for column in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
