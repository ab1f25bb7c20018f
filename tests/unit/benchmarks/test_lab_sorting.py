"""The task of sorting: what is right, what it is worth, and what that is worth on average."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.learning.lab import sorting
from benchmarks.learning.lab.loop import Setting, run
from benchmarks.learning.lab.methods import Variant
from benchmarks.learning.lab.policy import append
from benchmarks.learning.lab.sorting import Digits, careless_order, draw_digits, make_sorting
from verl_spo.demo.recipe import Recipe

RECIPE = Recipe(steps=2, hidden_size=32, intermediate_size=32, layers=1)


@pytest.fixture(scope="module")
def sorting_task(tmp_path_factory):
    """A small pool, and a policy that has hardly seen a lesson."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "RECIPE", RECIPE)
        yield make_sorting(tmp_path_factory.mktemp("sorting"), 48)


def test_answers_are_sorted_and_carelessness_swaps_neighbours():
    rng = np.random.default_rng(0)
    problems = draw_digits(rng, 200)
    assert {len(problem.given) for problem in problems} == set(range(3, 10))
    for problem in problems:
        assert problem.answer == careless_order(problem, 0.0, rng)
        assert sorted(problem.given) == list(problem.answer)
        careless = careless_order(problem, 0.5, rng)
        assert sorted(careless) == list(problem.answer)
        assert all(digit in problem.answer[max(place - 1, 0) : place + 2] for place, digit in enumerate(careless))
    assert careless_order(Digits("4321"), 1.0, rng) == "2143"


def test_the_share_before_the_first_mistake_is_the_reward(sorting_task):
    task, end = sorting_task, sorting_task.tokenizer.eos_token_id
    slot = next(slot for slot, answer in enumerate(task.answers) if len(set(answer)) == 4)
    right = task.tokenizer.encode(task.answers[slot])
    other = task.tokenizer.encode("x")[0]
    responses = [[*right, end], right, [*right[:2], other, *right[3:], end], [other], [end]]
    slots = np.full(len(responses), slot)
    whole = len(right) + 1
    shares = task.rewards(slots, append(task.prompts.rows(slots), responses, sorting.ANSWER_TOKENS))
    assert shares.tolist() == pytest.approx([1, (whole - 1) / whole, 2 / whole, 0, 0])


def test_expected_rewards_are_the_means_of_rewards(sorting_task):
    slots = np.repeat(np.arange(4), 2000)
    policy = sorting_task.policy()
    with torch.no_grad():
        # A policy that knows something, or else all of it would be 0.
        for token in map(str, range(10)):
            policy.model.lm_head.weight[sorting_task.tokenizer.encode(token)[0]] *= 3
    samples = policy.sample(sorting_task.prompts.rows(slots), torch.Generator().manual_seed(0))
    rewards = sorting_task.rewards(slots, samples.tokens).reshape(4, -1)
    error = rewards.std(1) / np.sqrt(rewards.shape[1])
    assert (np.abs(rewards.mean(1) - sorting_task.expected(policy)[:4]) < 5 * error + 1e-3).all()
    assert rewards.mean() > 0


def test_a_starting_policy_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sorting, "RECIPE", RECIPE)
    losses = []
    first = make_sorting(tmp_path, 16, losses.append)
    again = make_sorting(tmp_path, 16, losses.append)
    assert len(losses) == RECIPE.steps
    assert first.policy_digest == again.policy_digest
    # Of a larger pool, other problems are for validation: lessons must not have had them.
    larger = make_sorting(tmp_path, 24, losses.append)
    monkeypatch.setattr(sorting, "RECIPE", replace(RECIPE, slip=0.5))
    other = make_sorting(tmp_path, 24, losses.append)
    assert len({task.policy_digest for task in (first, larger, other)}) == 3
    assert len(losses) == 3 * RECIPE.steps


def test_validation_has_other_problems_than_the_pool(sorting_task):
    asked = {sorting_task.tokenizer.decode(row) for row in sorting_task.pool.prompts.ids}
    held_out = {sorting_task.tokenizer.decode(row) for row in sorting_task.validation.prompts.ids}
    assert not asked & held_out
    assert len(held_out) == sorting.VALIDATION


@pytest.mark.parametrize("method", [Variant("grpo"), Variant("spo", "kl", "trajectory")])
def test_the_lab_trains_on_it(sorting_task, method):
    setting = Setting("sorting", pool=48, prompts="sorting", batch=16, steps=2, evaluate_every=1)
    row = run(sorting_task, setting, method, 0)
    assert len(row.curve) == 3
    assert all(0 <= reward <= 1 for _, reward, _ in row.curve)
