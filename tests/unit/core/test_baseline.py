from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.config import BaselineKind
from verl_spo.core.baseline import Optimal, Value, make_baseline, squared_gradient_norm
from verl_spo.errors import CheckpointError, SPOError

outcomes = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 1), st.floats(0.01, 100)), min_size=1, max_size=60
)  # v_hat, reward, squared_norm


def columns(batch):
    return (np.array(column, dtype=np.float64) for column in zip(*batch, strict=True))


def observed(batch, initial=0.5):
    baseline = Optimal(initial, batch_size=len(batch))
    baseline.observe(*columns(batch))
    return baseline


def test_the_value_is_its_own_baseline():
    assert Value().at([0.0, 0.25, 1.0]).tolist() == [0.0, 0.25, 1.0]


def test_before_any_outcome_the_optimum_is_the_prior():
    assert Optimal(0.3, batch_size=8).at([0.1, 0.9]).tolist() == [0.3, 0.3]


@given(outcomes)
def test_one_bin_alone_gives_the_least_variance_of_the_gradient(batch):
    same = [(0.5, reward, squared_norm) for _, reward, squared_norm in batch]
    _, rewards, squared_norms = columns(same)
    best = observed(same).at([0.5])[0]
    assert best == pytest.approx((squared_norms * rewards).sum() / squared_norms.sum())
    spread = [((rewards - b) ** 2 * squared_norms).sum() for b in (best, best - 0.01, best + 0.01)]
    assert spread[0] <= min(spread[1:])


@given(outcomes)
def test_baselines_stay_within_rewards(batch):
    baselines = observed(batch).at(np.linspace(0, 1, 21))
    assert (baselines >= 0).all()
    assert (baselines <= 1 + 1e-12).all()


@given(outcomes, st.randoms())
def test_order_does_not_matter(batch, random):
    shuffled = random.sample(batch, len(batch))
    grid = np.linspace(0, 1, 21)
    assert observed(shuffled).at(grid) == pytest.approx(observed(batch).at(grid))


def test_many_outcomes_outweigh_the_other_bins_and_few_do_not():
    often = [(0.15, 1.0, 1.0)] * 1000
    rarely = [(0.95, 0.0, 1.0)]
    baseline = observed([*often, *rarely])
    low, high, empty = baseline.at([0.15, 0.95, 0.55])
    assert low > 0.999
    # One outcome of reward 0 beside eight of the pool's mean.
    assert high == pytest.approx(8 / 9 * 1000 / 1001)
    assert empty == pytest.approx(1000 / 1001)


def test_old_outcomes_fade():
    baseline = Optimal(0.5, batch_size=100)
    for reward in (0.0, 1.0):
        for _ in range(60):
            baseline.observe(np.full(100, 0.5), np.full(100, reward), np.ones(100))
    assert baseline.at([0.5])[0] > 0.99


def test_a_step_in_parts_fades_as_one():
    whole, parts = (Optimal(0.5, batch_size=4) for _ in range(2))
    for baseline, sizes in ((whole, [4]), (parts, [1, 3])):
        baseline.observe(np.full(4, 0.5), np.ones(4), np.ones(4))
        for size in sizes:
            baseline.observe(np.full(size, 0.5), np.zeros(size), np.zeros(size))
    assert parts.at([0.5]) == pytest.approx(whole.at([0.5]))
    assert parts.state_dict()["squared_norm"] == pytest.approx(whole.state_dict()["squared_norm"])


def test_squared_norms_are_wanted():
    for squared_norms in (None, np.array([1.0, np.nan])):
        with pytest.raises(SPOError, match="squared gradient norm"):
            Optimal(0.5, batch_size=2).observe([0.5, 0.5], [1.0, 0.0], squared_norms)


@given(outcomes, outcomes)
def test_a_restored_baseline_continues_bit_for_bit(before, after):
    whole, resumed = observed(before), Optimal(0.5, batch_size=len(before))
    resumed.load_state_dict({name: np.array(value) for name, value in whole.state_dict().items()})
    for baseline in (whole, resumed):
        baseline.observe(*columns(after))
    grid = np.linspace(0, 1, 21)
    assert np.array_equal(whole.at(grid), resumed.at(grid))


def test_another_kinds_state_is_refused():
    with pytest.raises(CheckpointError, match="Value"):
        Value().load_state_dict(Optimal(0.5, batch_size=8).state_dict())


@pytest.mark.parametrize("kind", get_args(BaselineKind))
def test_every_kind_can_be_made(kind):
    assert make_baseline(kind, 0.5, 8).at([0.5]).tolist() == [0.5]


def test_the_stand_in_is_the_squared_gradient_of_the_chosen_logits():
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    tokens, mask = torch.randint(0, 7, (3, 5)), torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    log_probs = logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]
    (log_probs * mask).sum().backward()
    chosen = logits.grad.gather(2, tokens[..., None])[..., 0]
    expected = (chosen**2).sum(1).numpy()
    assert squared_gradient_norm(log_probs.detach().numpy(), mask.numpy()) == pytest.approx(expected)


def test_padding_has_no_squared_norm_whatever_stands_there():
    assert squared_gradient_norm([[-1.0, np.nan, -np.inf]], [[1, 0, 0]]) == pytest.approx((1 - np.exp(-1)) ** 2)
    assert squared_gradient_norm([[-np.inf]], [[1]]).tolist() == [1.0]
