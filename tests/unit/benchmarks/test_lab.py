import numpy as np
import pytest
import torch
from lab import variance
from lab.loop import Setting, run
from lab.methods import GRPO, Epochs, Variant, make_method
from lab.policy import Samples, Tokens, append, mean_change, pad_left
from lab.task import make_task
from lab.update import policy_loss, update
from settings import LAB
from transformers import Qwen3Config, Qwen3ForCausalLM

from verl_spo.data.arithmetic import make_prompt_set
from verl_spo.data.tokenizer import VOCABULARY, build_tokenizer


@pytest.fixture(scope="module")
def task():
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    return make_task(
        make_prompt_set(train=32, validation=8), build_tokenizer(), Qwen3ForCausalLM(shape), policy_digest="random"
    )


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
    changes = update(policy, optimizer, samples, advantages, torch.Generator().manual_seed(0))
    assert len(changes) == 2
    assert changes[0] < 1e-4 < changes[1]
    gained = (policy.rescore(samples.tokens) - samples.log_probs).sum(1)
    assert gained[::2].mean() > gained[1::2].mean()


def test_mean_change_leaves_padding_out():
    now, then = torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[0.5, 3.0, 0.0]])
    assert mean_change(now, then, torch.tensor([[1.0, 1.0, 0.0]])).tolist() == [0.75]


def test_epochs_deal_every_prompt_once_a_pass():
    epochs = Epochs(10, seed=0)
    dealt = np.concatenate([epochs.take(n) for n in (3, 4, 8, 5)])
    assert sorted(dealt[:10]) == sorted(dealt[10:]) == list(range(10))


def test_groups_compare_responses_to_one_prompt():
    rewards = np.array([1.0] * 8 + [0.0] * 7 + [1.0])
    method = GRPO(4, seed=0)
    assert (np.diff(method.draw(16).reshape(2, 8)) == 0).all()
    advantages = method.advantages(1, np.zeros(16, dtype=int), None, rewards)
    assert advantages[:8].tolist() == [0.0] * 8
    assert advantages[8:].sum() == pytest.approx(0, abs=1e-9)
    assert advantages[15] == pytest.approx(0.875 / np.sqrt(1 / 8), rel=1e-4)


@pytest.mark.parametrize("variant", sorted({v for variants in LAB.values() for v in variants}, key=str))
def test_every_line_of_every_table_runs_and_counts_its_extra_passes(task, variant):
    setting = Setting("test", batch=16, steps=3, evaluate_every=2)
    row = run(task, setting, variant, seed=1)
    assert [step for step, _, _ in row.curve] == [0, 2, 3]
    assert row.line == (variant.method, variant.retention, variant.normalization)
    assert (row.extra_logprob_passes > 0) == (row.method.startswith("spo") and row.retention == "kl")
    assert row == run(task, setting, variant, seed=1)


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
    assert set(point.variance) == {variance.NONE, variance.MEAN, variance.VALUE, variance.ONE, variance.BINNED}
    assert point.variance[variance.MEAN] == 1.0
    assert all(value > 0 for value in point.variance.values())
    assert variance.table([point]).count("\n") == 2
