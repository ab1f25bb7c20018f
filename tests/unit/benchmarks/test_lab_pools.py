"""Pools are as hard as they say they are."""

import numpy as np
import pytest
import torch

from benchmarks.learning.lab import pools
from benchmarks.learning.lab.pools import Class, Pool, make_pool, success_rates
from benchmarks.learning.lab.task import Task
from verl_spo.demo.problems import Problem


@pytest.fixture
def start(task: Task) -> Task:
    return task


def halves(start: Task) -> Pool:
    """What the model finds easier, and what it finds harder, than usual."""
    usual = float(np.median(success_rates(start, [Problem(left, 17) for left in range(100)])))
    return Pool((Class(0.75, usual, 1.0), Class(0.25, 0.0, usual)))


def test_a_pool_has_its_classes_and_validation_is_of_the_last(start, monkeypatch):
    pool = halves(start)
    monkeypatch.setattr(pools, "POOLS", {"halves": pool})
    task = make_pool(start, "halves", 40)
    rates, held_out = start.policy().success_rates(task.pool), start.policy().success_rates(task.validation)
    easy, hard = pool.classes
    assert (task.size, (rates > easy.low).sum(), (rates < hard.high).sum()) == (40, 30, 10)
    assert (held_out.size, held_out.max() < hard.high) == (pools.VALIDATION, True)
    assert task.policy_digest == start.policy_digest
    again = make_pool(start, "halves", 40)
    assert task.answers == again.answers
    assert torch.equal(task.prompts.ids, again.prompts.ids)


def test_noise_is_rewarded_and_never_counted_as_right(start, monkeypatch):
    monkeypatch.setattr(pools, "POOLS", {"noisy": Pool((Class(1.0, 0.0, 1.0),), noise=0.5)})
    noisy = make_pool(start, "noisy", 400)
    monkeypatch.setattr(pools, "POOLS", {"noisy": Pool((Class(1.0, 0.0, 1.0),))})
    clean = make_pool(start, "noisy", 400)
    assert torch.equal(noisy.pool.ids, clean.pool.ids)
    off = np.array(noisy.answers, dtype=int) - np.array(clean.answers, dtype=int)
    assert 0.4 < np.mean(off != 0) < 0.6
    assert set(off.tolist()) <= set(range(10))


def test_problems_too_long_for_the_policy_are_as_long_as_they_should_be(start):
    found = pools._candidates(Class(1.0, 0.0, 1.0, digits=6), np.random.default_rng(0))
    assert {problem.digits for problem in found} == {6}
    assert len(found) > 1000
