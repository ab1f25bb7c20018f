from statistics import fmean

import numpy as np
import pytest
import torch

from verl_spo.demo import pretraining
from verl_spo.demo.pretraining import limited_threads, pretrain
from verl_spo.demo.problems import Problem
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tiny_model import measure

MINIATURE = Recipe(steps=4, batch_size=8, hidden_size=32, intermediate_size=32, layers=1)


def weights(model):
    return torch.cat([weight.flatten() for weight in model.state_dict().values()])


def test_the_same_recipe_gives_the_same_weights_whatever_torch_did_before(tokenizer):
    first = weights(pretrain(MINIATURE, tokenizer, unseen=()))
    torch.rand(3)
    with limited_threads(2):
        assert torch.equal(weights(pretrain(MINIATURE, tokenizer, unseen=())), first)


def test_another_seed_gives_other_weights(tokenizer):
    other = Recipe(seed=1, steps=4, batch_size=8, hidden_size=32, intermediate_size=32, layers=1)
    assert not torch.equal(
        weights(pretrain(MINIATURE, tokenizer, unseen=())), weights(pretrain(other, tokenizer, unseen=()))
    )


def test_torch_is_left_as_it_was(tokenizer):
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    pretrain(MINIATURE, tokenizer, unseen=())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_every_step_is_reported(tokenizer):
    losses = []
    pretrain(MINIATURE, tokenizer, unseen=(), on_step=losses.append)
    assert len(losses) == 4
    assert all(0 < loss < 20 for loss in losses)


def test_hidden_problems_are_never_trained_on(tokenizer, monkeypatch):
    shown = []
    monkeypatch.setattr(
        pretraining,
        "careless_answer",
        lambda problem, slip, rng: shown.append(problem) or problem.answer,
    )
    pretrain(MINIATURE, tokenizer, unseen=())
    hidden = set(shown[::2])
    shown.clear()
    pretrain(MINIATURE, tokenizer, unseen=hidden)
    assert len(shown) == MINIATURE.steps * MINIATURE.batch_size
    assert not hidden & set(shown)


def test_only_answers_and_the_end_of_the_turn_are_learnt(tokenizer):
    problems = [Problem(7, 5), Problem(1234, 1)]
    lessons = [(problem.question, problem.answer) for problem in problems]
    tokens, labels = next(pretraining._batches(Recipe(), tokenizer, lambda rng, count: lessons))
    for row, label, problem in zip(tokens, labels, problems, strict=True):
        learnt = label != -100
        assert torch.equal(row[learnt], label[learnt])
        assert tokenizer.decode(label[learnt]) == f"{problem.answer}<|im_end|>"
        before = tokenizer.decode(row[: int(learnt.nonzero()[0])])
        assert before.endswith(f"{problem.question}<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.slow
def test_a_short_training_learns_to_add(tokenizer, monkeypatch):
    def one_digit(rng, count):
        return [Problem(left, right) for left, right in rng.integers(10, size=(count, 2)).tolist()]

    monkeypatch.setattr(pretraining, "draw_problems", one_digit)
    recipe = Recipe(steps=250, batch_size=32, hidden_size=64, intermediate_size=128, layers=1, lr=5e-3, slip=0.0)
    problems = one_digit(np.random.default_rng(0), 100)
    untrained = measure(pretrain(Recipe(steps=1, hidden_size=64, layers=1), tokenizer, unseen=()), tokenizer, problems)
    losses = []
    trained = measure(pretrain(recipe, tokenizer, unseen=(), on_step=losses.append), tokenizer, problems)
    assert fmean(losses[-10:]) < fmean(losses[:10]) / 2
    # 19 answers are possible: chance is a few percent.
    assert untrained.greedy < 0.15
    assert trained.greedy > 0.5
