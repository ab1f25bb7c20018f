from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.config import NormalizationKind
from verl_spo.core.advantage import explained_variance, no_signal_share, normalize

trajectories = st.lists(st.tuples(st.floats(-1, 1), st.integers(1, 5000)), max_size=40)


@given(trajectories)
def test_token_normalization_has_a_token_weighted_mean_of_zero(batch):
    lengths = np.array([length for _, length in batch])
    normalized = normalize([value for value, _ in batch], lengths, "token")
    assert abs((lengths * normalized).sum()) <= 1e-6 * max(lengths.sum(initial=0), 1)


@given(trajectories)
def test_trajectory_normalization_standardizes(batch):
    lengths = np.array([length for _, length in batch], dtype=np.int64)
    values = np.array([value for value, _ in batch])
    normalized = normalize(values, lengths, "trajectory")
    if values.size > 1 and values.std() > 1e-3:
        assert normalized.mean() == pytest.approx(0, abs=1e-6)
        assert normalized.std(ddof=1) == pytest.approx(1, abs=1e-4)


def test_token_normalization_by_hand():
    # mu = (2 * 1 + 1 * 0 + 1 * -1) / 4, var = (2 * 0.75^2 + 0.25^2 + 1.25^2) / 3
    expected = np.array([0.75, -0.25, -1.25]) / np.sqrt(2.75 / 3)
    assert normalize([1.0, 0.0, -1.0], [2, 1, 1], "token") == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("how", ["trajectory", "token"])
@given(batch=st.lists(st.tuples(st.floats(-1, 1), st.integers(1, 5000), st.floats(0.01, 9)), max_size=40))
def test_a_centre_of_its_own_is_where_the_advantages_balance(how, batch):
    values, lengths, centre = (np.array([row[i] for row in batch], dtype=np.float64) for i in range(3))
    normalized = normalize(values, lengths, how, centre)
    assert (centre * normalized).sum() == pytest.approx(0, abs=1e-6 * max(1, centre.sum()))


def test_a_centre_without_weight_teaches_nothing():
    assert normalize([1.0, 0.0], [3, 4], "trajectory", centre=[0.0, 0.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("how", get_args(NormalizationKind))
def test_a_batch_of_nothing(how):
    assert normalize([], [], how).shape == (0,)


@pytest.mark.parametrize(("how", "expected"), [("trajectory", 0.0), ("token", 0.0), ("none", 0.7)])
@pytest.mark.parametrize("length", [1, 10])
def test_a_single_trajectory_has_nothing_to_compare_with(how, expected, length):
    assert normalize([0.7], [length], how).tolist() == [expected]


@pytest.mark.parametrize("how", ["trajectory", "token"])
def test_equal_advantages_teach_nothing(how):
    assert np.abs(normalize([0.1] * 7, range(1, 8), how)).max() < 1e-6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, bool])
def test_the_result_is_float64(dtype):
    result = normalize(np.array([1, 0, 1], dtype=dtype), np.array([1, 2, 3], dtype=np.int32), "trajectory")
    assert result.dtype == np.float64


def test_explained_variance_by_hand():
    rewards = [0.0, 0.0, 1.0, 1.0]
    assert explained_variance(rewards, rewards) == 1.0
    assert explained_variance(rewards, [0.7] * 4) == pytest.approx(0.0)
    # Residuals 0, 0.5, 0.5, 0: variance 1/16 of rewards' 1/4.
    assert explained_variance(rewards, [0.0, -0.5, 0.5, 1.0]) == pytest.approx(0.75)
    assert explained_variance(rewards, [1.0, 1.0, 0.0, 0.0]) < 0


@pytest.mark.parametrize("rewards", [[], [1.0], [0.0, 0.0]])
def test_rewards_that_do_not_vary_cannot_be_explained(rewards):
    assert np.isnan(explained_variance(rewards, [0.5] * len(rewards)))


def test_no_signal_counts_advantages_of_zero():
    assert no_signal_share([0.0, 1e-9, 0.5, -0.5]) == 0.5
    assert np.isnan(no_signal_share([]))
