"""Where SPO's tracker starts, if not at the prior: `spo.init`, by the code that starts it in verl."""

import numpy as np
import torch

from benchmarks.learning.lab.policy import Policy
from benchmarks.learning.lab.task import Task
from verl_spo.config import SPOConfig
from verl_spo.core.estimates import Estimates
from verl_spo.core.tracker import ValueTracker
from verl_spo.training.initial.sources import tracker_of

_OPTIONS = SPOConfig()


def from_run(earlier: ValueTracker) -> ValueTracker:
    """As `spo.init=run` takes over what an earlier run knew of the same pool."""
    return tracker_of(_OPTIONS, earlier.visits > 0, earlier.value())


def from_rollouts(task: Task, policy: Policy, generator: torch.Generator) -> ValueTracker:
    """As `spo.init=rollouts` starts it, from 8 responses of the starting policy to each prompt."""
    estimates, slots = Estimates.none(task.size), np.arange(task.size)
    for _ in range(_OPTIONS.init_rollouts):
        estimates.add(slots, task.rewards(slots, policy.sample(task.prompts, generator).tokens))
    return tracker_of(_OPTIONS, estimates.responses > 0, estimates.values(_OPTIONS.prior))
