from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.learning.lab import variance
from benchmarks.learning.lab.loop import Setting, breadth, run
from benchmarks.learning.lab.methods import Variant, make_method
from benchmarks.learning.lab.methods.epochs import Epochs
from benchmarks.learning.lab.methods.groups import GRPO
from benchmarks.learning.lab.policy import Samples, Tokens, append, pad_left
from benchmarks.learning.lab.pools import without_carries
from benchmarks.learning.lab.update import by_arrival, by_chance, policy_loss, update
from benchmarks.learning.settings import LAB
from verl_spo.core.policy_change import update_change
from verl_spo.demo.arithmetic import make_prompt_set
from verl_spo.demo.tokenizer import VOCABULARY


def samples_of(task, policy, count, seed=0) -> Samples:
    return policy.sample(task.prompts.rows(np.arange(count)), torch.Generator().manual_seed(seed))


def test_samples_carry_the_log_probs_that_scoring_gives(task):
    policy = task.policy()
    samples = samples_of(task, policy, 32)
    assert 1 <= samples.tokens.lengths.min() <= samples.tokens.lengths.max()
    torch.testing.assert_close(policy.rescore(samples.tokens), samples.log_probs, atol=1e-4, rtol=1e-4)
    assert policy.passes == 1


def test_a_response_ends_with_the_end_token_or_at_the_limit(task):
    samples = samples_of(task, task.policy(), 32)
    written = samples.tokens.ids[:, samples.tokens.start :]
    for row, length in zip(written.tolist(), samples.tokens.lengths.tolist(), strict=True):
        assert task.tokenizer.eos_token_id not in row[: length - 1]
        assert length == len(row) or row[length - 1] == task.tokenizer.eos_token_id
        assert not any(row[length:])


def test_success_rates_are_the_frequencies_of_the_right_answer(task):
    policy, end = task.policy(), task.tokenizer.eos_token_id
    prompt = task.prompts.rows(np.zeros(4000, dtype=int))
    written = policy.sample(prompt, torch.Generator().manual_seed(1)).tokens.ids[:, prompt.start]
    answers = append(pad_left([[5, 6]], 2), [[end]], 8)
    answers = Tokens(
        torch.cat([prompt.ids[:1], answers.ids[:, 2:]], 1),
        torch.cat([prompt.real[:1], answers.real[:, 2:]], 1),
        prompt.start,
    )
    expected = float(policy.success_rates(answers)[0])
    assert float((written == end).float().mean()) == pytest.approx(expected, abs=4 * (expected / 4000) ** 0.5)


def test_a_right_answer_is_rewarded(task):
    slots = np.array([0, 1])
    right = [[*task.tokenizer.encode(task.answers[slot]), task.tokenizer.eos_token_id] for slot in slots]
    assert task.rewards(slots, append(task.prompts.rows(slots), right, 8)).tolist() == [1.0, 1.0]
    assert task.rewards(slots, append(task.prompts.rows(slots), right[::-1], 8)).tolist() == [0.0, 0.0]


def test_clipping_stops_the_gradient_where_a_ratio_went_far_enough():
    log_ratio = torch.tensor([[0.5], [-0.5], [0.5], [-0.5]]).requires_grad_()
    policy_loss(log_ratio, torch.tensor([1.0, 1.0, -1.0, -1.0]), torch.ones(4, 1)).backward()
    assert (log_ratio.grad[:, 0] != 0).tolist() == [False, True, True, False]


def test_dual_clip_bounds_the_loss_of_bad_and_now_likely_tokens():
    loss = policy_loss(torch.tensor([[5.0]]), torch.tensor([-1.0]), torch.ones(1, 1))
    assert float(loss) == 10.0


def test_an_update_raises_what_was_good_and_reports_how_far_it_went(task):
    policy = task.policy()
    samples = samples_of(task, policy, 32)
    advantages = np.where(np.arange(32) % 2 == 0, 1.0, -1.0)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=1e-2)
    changes = update(policy, optimizer, samples, advantages, by_chance(32, torch.Generator().manual_seed(0)))
    assert len(changes) == 2
    assert changes[0] < 1e-4 < changes[1]
    gained = (policy.rescore(samples.tokens) - samples.log_probs).sum(1)
    assert gained[::2].mean() > gained[1::2].mean()


def test_epochs_deal_every_prompt_once_a_pass():
    epochs = Epochs(10, seed=0)
    dealt = np.concatenate([epochs.take(n) for n in (3, 4, 8, 5)])
    assert sorted(dealt[:10]) == sorted(dealt[10:]) == list(range(10))


def test_groups_compare_responses_to_one_prompt(task):
    rewards = np.array([1.0] * 8 + [0.0] * 7 + [1.0])
    method = GRPO(4, 0, task.policy())
    assert (np.diff(method.draw(16).reshape(2, 8)) == 0).all()
    advantages = method.advantages(1, np.zeros(16, dtype=int), None, rewards, [])
    assert advantages[:8].tolist() == [0.0] * 8
    assert advantages[8:].sum() == pytest.approx(0, abs=1e-9)
    assert advantages[15] == pytest.approx(0.875 / np.sqrt(1 / 8), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted({v for variants in LAB.values() for v in variants}, key=str))
def test_every_line_of_every_table_runs_and_counts_its_extra_passes(task, variant):
    setting = Setting("test", batch=16, steps=3, evaluate_every=2)
    row = run(task, setting, variant, seed=1)
    assert [step for step, _, _ in row.curve] == [0, 2, 3] or "dynamic" in variant.method
    assert row.curve[-1][0] >= 3
    assert row.tokens == sorted(row.tokens)
    assert len(row.tokens) == len(row.curve)
    assert row.variant == (variant.method, variant.retention, variant.normalization)
    assert (row.extra_logprob_passes > 0) == (row.method.startswith("spo") and row.retention == "kl")
    assert row == run(task, setting, variant, seed=1)


def test_a_batch_waits_for_as_many_updates_as_it_is_stale(task):
    def rewards(staleness):
        setting = Setting("test", batch=16, steps=3, lr=1e-2, evaluate_every=1, staleness=staleness)
        return [reward for _, reward, _ in run(task, setting, Variant("reinforce++"), seed=1).curve]

    start, *after = rewards(3)
    assert after == [start] * 3
    start, first, second, third = rewards(2)
    assert first == second == start
    assert third != start


@pytest.mark.parametrize("staleness", [0, 2])
def test_what_a_stale_batch_teaches_is_told_by_its_own_draw(task, staleness):
    setting = Setting("test", batch=8, steps=5, evaluate_every=5, staleness=staleness)
    row = run(task, setting, Variant("spo", "drift", "trajectory"), seed=1)
    assert 0 < row.metrics["value_error"] < 1
    # Between two updates the policy moves by what one of them does, however old the batch is.
    assert row.metrics["drift"] < 0.05


def test_a_task_that_changes_does_so_half_way(task):
    later = without_carries(task, make_prompt_set(train=32, validation=8))
    assert later.answers != task.answers
    still = Setting("test", batch=16, steps=4, lr=0.0, evaluate_every=1)
    curve = run(replace(task, later=later), still, Variant("reinforce++"), seed=1).curve
    before, after = (float(task.policy().success_rates(each.pool).mean()) for each in (task, later))
    assert [reward for _, reward, _ in curve] == pytest.approx([before, before, after, after, after])


def test_a_batch_arrives_in_parts_the_shortest_first():
    parts = by_arrival(np.array([5, 2, 9, 2, 7]), 2)
    assert [part.tolist() for part in parts] == [[1, 3, 0], [4, 2]]
    assert sorted(np.concatenate(by_chance(7, torch.Generator()))) == list(range(7))


def test_parts_are_normalized_as_the_variant_says(task):
    policy, rng = task.policy(), np.random.default_rng(0)
    ways = ("spo", "spo, each part alone", "spo, whole batch")
    made = {way: make_method(Variant(way, "constant"), 32, 16, policy, 0, in_parts=True) for way in ways}
    for step in (1, 2):
        slots, *_ = (method.draw(16) for method in made.values())
        samples, rewards = samples_of(task, policy, 16), rng.integers(0, 2, 16).astype(float)
        parts = by_arrival(-rewards + rng.random(16), 2)
        given = (step, slots, samples, rewards, parts)
        advantages = {way: method.advantages(*given) for way, method in made.items()}
        for method in made.values():
            method.published([0.0, 0.0])
    for part in parts:
        assert advantages["spo, each part alone"][part].mean() == pytest.approx(0, abs=1e-9)
    assert advantages["spo, whole batch"].mean() == pytest.approx(0, abs=1e-9)
    # One line through all of them: the same centre and scale.
    assert np.corrcoef(advantages["spo"], advantages["spo, whole batch"])[0, 1] == pytest.approx(1)
    assert not np.allclose(advantages["spo"], advantages["spo, whole batch"])


def test_noise_in_the_old_log_probs_does_not_pass_for_a_change(task):
    policy, generator = task.policy(), torch.Generator().manual_seed(0)
    samples = samples_of(task, policy, 32)
    noisy = samples.log_probs + 0.01 * torch.randn(samples.log_probs.shape, generator=generator) * samples.tokens.mask
    still = torch.optim.SGD(policy.model.parameters(), lr=0.0)
    changes = update(policy, still, Samples(samples.tokens, noisy), np.ones(32), by_chance(32, generator))
    assert update_change(float(np.mean(changes)), 2) > 0.01
    assert update_change(float(np.mean(changes)), 2, noise=changes[0]) < 0.006


def test_the_breadth_of_a_policy_is_exact(task):
    policy = task.policy()
    found = breadth(task, policy)
    assert found == breadth(task, policy)
    # A model that knows nothing: nearly all of the vocabulary is as likely.
    assert 0.9 * np.log(len(VOCABULARY)) < found["entropy"] <= np.log(len(VOCABULARY))
    rates = policy.success_rates(task.validation)
    assert found["pass_at_8"] == pytest.approx(np.mean(1 - (1 - rates) ** 8))


def test_the_squared_gradient_by_all_logits_is_that_of_its_definition(task):
    policy = task.policy()
    samples = samples_of(task, policy, 4)
    scores = policy._scores(samples.tokens).detach().requires_grad_()
    chosen = samples.tokens.ids[:, samples.tokens.start :, None]
    (scores.log_softmax(-1).gather(2, chosen)[..., 0] * samples.tokens.mask).sum().backward()
    expected = scores.grad.square().sum((1, 2)).numpy()
    assert policy.squared_logit_gradients(samples.tokens).sum(1) == pytest.approx(expected, rel=1e-4)
    # Ours counts the chosen logit alone: at least half of it.
    ours = variance.squared_norms(samples)
    assert (ours <= expected * 1.0001).all()
    assert (ours >= expected / 2.0001).all()


def test_an_unknown_method_is_refused_by_name(task):
    with pytest.raises(ValueError, match="ppo"):
        make_method(Variant("ppo"), 32, 16, task.policy(), 0)


def test_the_variance_of_a_gradient_is_that_of_its_definition(task):
    rng = np.random.default_rng(0)
    advantages, gradients = rng.normal(size=50), rng.normal(size=(50, 7)).astype(np.float32)
    expected = np.var(advantages[:, None] * gradients, axis=0).sum()
    assert variance._variance(advantages, gradients) == pytest.approx(expected, rel=1e-5)


def test_variances_are_relative_to_the_batchs_mean(task, monkeypatch):
    def rewards(self, slots, responses):
        return (responses.lengths % 2).astype(np.float64)

    monkeypatch.setattr(type(task), "rewards", rewards)
    (point,) = variance.measure(task, Setting("test", batch=16), seed=0, steps=(1,), responses=40)
    stand_ins = {variance.ONE, variance.LOGITS, variance.LENGTH}
    assert set(point.variance) == {variance.NONE, variance.MEAN, variance.VALUE, variance.BINNED, *stand_ins}
    assert set(point.correlation) == stand_ins
    assert point.variance[variance.MEAN] == 1.0
    assert all(value > 0 for value in point.variance.values())
    assert variance.table([point]).count("\n") == variance.stand_in_table([point]).count("\n") == 2
