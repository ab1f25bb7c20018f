import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.core.rewards import RewardScale
from verl_spo.errors import RewardError


@given(st.floats(-100, 100), st.floats(0.01, 100), st.lists(st.floats(0, 1)))
def test_a_range_is_mapped_linearly(low, width, shares):
    rewards = np.float32([low + width * share for share in shares])
    assert RewardScale(low, low + width).scale(rewards) == pytest.approx(shares, abs=1e-3 * max(1, abs(low)) / width)


@given(st.lists(st.floats(0, 1)))
def test_the_unit_range_is_left_as_it_is(rewards):
    assert RewardScale().scale(rewards).tolist() == rewards


def test_plus_and_minus_one_become_success_and_failure():
    assert RewardScale(-1, 1).scale([1, -1, 0]).tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("bound", [0.1, 0.7, 1.9, -0.3])
def test_float32_rounding_of_a_bound_or_a_threshold_is_forgiven(bound):
    stored = np.float32([bound])
    assert RewardScale(bound, bound + 1).scale(stored) == pytest.approx([0.0], abs=1e-6)
    assert RewardScale(bound - 1, bound).scale(stored) == pytest.approx([1.0], abs=1e-6)
    assert RewardScale(bound - 1, bound + 1, threshold=bound).scale(stored).tolist() == [1.0]


def test_a_threshold_decides_in_the_rewards_own_unit():
    assert RewardScale(0, 10, threshold=5).scale([0, 4.9, 5, 10]).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("reward", [-1.0, 1.1, np.inf, -np.inf])
def test_out_of_range_names_prompt_value_and_option(reward):
    with pytest.raises(
        RewardError, match=rf"reward={reward:g} for prompt b.*\[0, 1\].*spo.reward_low.*spo.reward_out_of_range=clip"
    ):
        RewardScale().scale([0.5, reward, reward], describe="abc".__getitem__)


def test_a_threshold_does_not_hide_a_reward_out_of_range():
    with pytest.raises(RewardError, match="number 0"):
        RewardScale(threshold=0.5).scale([7])


def test_nan_is_refused_by_name():
    with pytest.raises(RewardError, match="reward=nan for prompt b"):
        RewardScale(-5, 5).scale([0, np.nan], describe="ab".__getitem__)


@given(st.floats(-10, 10), st.floats(0.1, 10), st.lists(st.floats(), min_size=1))
def test_a_reward_out_of_range_counts_as_the_nearer_bound_where_it_is_to_be_clipped(low, width, rewards):
    clipping, rewards = RewardScale(low, low + width, clip=True), np.array(rewards)
    rewards = rewards[~np.isnan(rewards)]
    nearest = np.clip(rewards, low, low + width)
    assert clipping.scale(rewards).tolist() == clipping.scale(nearest).tolist()
    assert clipping.scale(nearest) == pytest.approx(RewardScale(low, low + width).scale(nearest))
    assert not clipping.outside(nearest).any()


def test_what_lies_outside_is_told_apart_from_rounding():
    scale = RewardScale(-0.3, 0.7, clip=True)
    assert scale.outside(np.float32([-0.3, 0.7, -0.31, 0.71, 0])).tolist() == [False, False, True, True, False]


def test_a_clipped_reward_still_meets_the_threshold():
    assert RewardScale(0, 10, threshold=5, clip=True).scale([-1, 4, 5, 11]).tolist() == [0, 0, 1, 1]


def test_nan_is_refused_also_where_rewards_are_clipped():
    with pytest.raises(RewardError, match="reward=nan for prompt b"):
        RewardScale(clip=True).scale([7, np.nan], describe="ab".__getitem__)


@given(st.floats(-5, 5), st.floats(0.1, 5), st.lists(st.floats(0, 1), min_size=1))
def test_rewards_can_be_written_in_their_own_unit_again(low, width, shares):
    scale = RewardScale(low, low + width)
    assert scale.scale(scale.unscale(sum(shares), len(shares))).sum() == pytest.approx(sum(shares), abs=1e-6)


def test_counted_successes_stay_so_under_a_threshold():
    scale = RewardScale(-1, 1, threshold=0.5)
    assert scale.unscale(2.0, 5).tolist() == [1, 1, -1, -1, -1]
    assert scale.scale(scale.unscale(2.0, 5)).sum() == 2


def test_an_empty_batch():
    assert RewardScale().scale([]).shape == (0,)
