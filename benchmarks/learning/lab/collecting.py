"""A step's batch: what a method's prompts bring, and what of it is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.learning.lab.methods import Method
from benchmarks.learning.lab.policy import Policy, Samples
from benchmarks.learning.lab.task import Task
from verl_spo.core.arrays import FloatArray, IntArray

MOST_DRAWS = 10
"""For a batch: DAPO's recipe allows as many."""


@dataclass(frozen=True)
class Batch:
    """What is trained on, (n,) each, and what it took.

    Attributes:
        slots: Prompts.
        samples: Responses.
        rewards: In [0, 1].
        generated: Trajectories, those that were thrown away among them.
        tokens: Of their responses.
    """

    slots: IntArray
    samples: Samples
    rewards: FloatArray
    generated: int
    tokens: int

    def __len__(self) -> int:
        return len(self.slots)


def collect(method: Method, task: Task, policy: Policy, size: int, generator: torch.Generator) -> Batch:
    """A batch of `size` trajectories that the method keeps; of fewer, even none, if it throws most of them away."""
    drawn = [_draw(method, task, policy, size, generator)]
    while sum(map(len, drawn)) < size and len(drawn) < MOST_DRAWS:
        drawn.append(_draw(method, task, policy, size, generator))
    return _first(drawn, size)


def _draw(method: Method, task: Task, policy: Policy, size: int, generator: torch.Generator) -> Batch:
    slots = method.draw(size)
    samples = policy.sample(task.prompts.rows(slots), generator)
    rewards = task.rewards(slots, samples.tokens)
    rows = np.flatnonzero(method.kept(rewards))
    return Batch(slots[rows], samples.rows(rows), rewards[rows], size, int(samples.tokens.lengths.sum()))


def _first(drawn: Sequence[Batch], size: int) -> Batch:
    """The first `size` trajectories of several draws."""
    if len(drawn) == 1:
        return drawn[0]
    return Batch(
        np.concatenate([each.slots for each in drawn])[:size],
        Samples.joined([each.samples for each in drawn]).rows(slice(0, size)),
        np.concatenate([each.rewards for each in drawn])[:size],
        sum(each.generated for each in drawn),
        sum(each.tokens for each in drawn),
    )
