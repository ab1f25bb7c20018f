import numpy as np
import pytest
import torch

from benchmarks.learning.lab import starting
from benchmarks.learning.lab.loop import Setting, run
from benchmarks.learning.lab.methods import Variant
from verl_spo.config import SPOConfig
from verl_spo.core.tracker import ValueTracker

KNOWN = SPOConfig.init_n_eff


def test_an_earlier_run_tells_of_the_prompts_that_it_saw():
    earlier = ValueTracker.from_value(3)
    earlier.observe(np.array([1]), np.array([1.0]), np.array([1.0]), step=1)
    tracker = starting.from_run(earlier)
    assert tracker.value().tolist() == [SPOConfig.prior, 0.75, SPOConfig.prior]
    assert tracker.n_eff().tolist() == [SPOConfig.prior_n_eff, KNOWN, SPOConfig.prior_n_eff]
    assert tracker.visits.tolist() == [0, 0, 0]


def test_responses_of_the_starting_policy_tell_of_all_prompts(task):
    tracker = starting.from_rollouts(task, task.policy(), torch.Generator().manual_seed(0))
    assert tracker.n_eff() == pytest.approx(np.full(task.size, KNOWN))
    # Jeffreys' rule for 0 to 8 successes.
    assert set(tracker.value().round(6)) <= set(((np.arange(9) + 0.5) / 9).round(6))


@pytest.mark.parametrize("start", ["warm start", "initial rollouts"])
def test_who_knows_the_pool_before_the_first_step_errs_less_in_the_first_look(task, start):
    # A policy that stays as it is, so that all that was learnt of the pool stays true.
    setting = Setting("test", batch=task.size, steps=2, lr=0.0, evaluate_every=1)
    cold, known = (
        run(task, setting, Variant(f"spo{words}", "kl", "trajectory"), seed=1).metrics["value_error"]
        for words in ("", f", {start}")
    )
    assert known < cold
