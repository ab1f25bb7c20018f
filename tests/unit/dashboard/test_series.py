import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo_dashboard.series import extremes, last_number, means, smooth, spread_steps, stride_for, thin

numbers = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(numbers)
def test_weight_zero_leaves_the_values_alone(values: list[float]) -> None:
    np.testing.assert_allclose(smooth(np.array(values), 0.0), values)


@given(numbers, st.floats(0, 0.99))
def test_smoothing_stays_between_the_extremes(values: list[float], weight: float) -> None:
    smoothed = smooth(np.array(values), weight)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert smoothed.min() >= min(values) - slack
    assert smoothed.max() <= max(values) + slack


def test_smoothing_is_not_drawn_to_where_it_begins() -> None:
    # By hand: weights 0.5 and 1 of the two values, over 1.5.
    np.testing.assert_allclose(smooth(np.array([0.0, 3.0]), 0.5), [0.0, 2.0])


def test_smoothing_passes_over_what_is_not_a_number() -> None:
    smoothed = smooth(np.array([np.nan, 1.0, np.nan, 1.0]), 0.6)
    assert np.isnan(smoothed[0])
    np.testing.assert_allclose(smoothed[1:], 1.0)


@pytest.mark.parametrize("count", [0, 1, 5, 10, 11, 1000])
def test_thinning_keeps_the_ends_and_the_order(count: int) -> None:
    kept = thin(count, most=10).tolist()
    assert len(kept) == min(count, 10)
    assert kept == sorted(set(kept))
    if count:
        assert (kept[0], kept[-1]) == (0, count - 1)


@given(st.integers(0, 10**7), st.integers(1, 500))
def test_a_stride_is_the_smallest_power_of_two_that_suffices(last_step: int, most: int) -> None:
    stride = stride_for(last_step, most)
    assert stride & (stride - 1) == 0
    assert last_step // stride <= most
    assert stride == 1 or last_step // (stride // 2) > most


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 60))
def test_spread_steps_are_distinct_steps_up_to_the_last(before: int, count: int, most: int) -> None:
    steps = spread_steps(before, before + count, most)
    assert len(steps) == min(count, most)
    assert steps == sorted(set(steps))
    assert not steps or (steps[0] > before and steps[-1] == before + count)


def test_the_last_number_of_none_is_not_a_number() -> None:
    assert last_number([1.0, 2.0, float("nan")]) == 2.0
    assert np.isnan(last_number([]))


def test_extremes_are_of_a_point_and_those_left_out_after_it() -> None:
    values = np.array([1.0, 5.0, np.nan, -2.0, 3.0, np.nan])
    low, high = extremes(values, np.array([0, 2, 4, 5]))
    np.testing.assert_array_equal(low, [1, -2, 3, np.nan])
    np.testing.assert_array_equal(high, [5, -2, 3, np.nan])


def test_means_count_all_that_was_left_out() -> None:
    values = np.array([1.0, 3.0, 0.0, 0.0, 6.0])
    assert means(values, np.array([0, 2])).tolist() == [2.0, 2.0]
    assert means(values, np.arange(5)).tolist() == values.tolist()
