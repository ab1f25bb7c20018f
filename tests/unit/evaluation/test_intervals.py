import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_1samp

from verl_spo.errors import DataError, RewardError
from verl_spo.evaluation.intervals import (
    difference_interval,
    mean_interval,
    seeds_interval,
    sign_flip_p,
    smallest_difference,
)

figures = st.lists(st.sampled_from([0.0, 1.0]) | st.floats(0, 1), min_size=2, max_size=12)
some_sets = st.lists(figures, min_size=1, max_size=4)
some_pairs = st.lists(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12), min_size=1, max_size=4
)


def sides(pairs):
    return [[[pair[side] for pair in each] for each in pairs] for side in (0, 1)]


@given(some_sets)
def test_it_holds_the_mean_of_the_means_and_stays_within_bounds(sets):
    found = mean_interval(sets)
    assert found.mean == pytest.approx(np.mean([np.mean(values) for values in sets]))
    assert 0 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= 1
    assert found.standard_error >= 0


@given(some_sets, st.randoms())
def test_neither_the_order_of_problems_nor_that_of_sets_matters(sets, random):
    shuffled = [random.sample(values, len(values)) for values in random.sample(sets, len(sets))]
    first, second = mean_interval(sets), mean_interval(shuffled)
    assert (first.mean, first.low, first.high) == pytest.approx((second.mean, second.low, second.high), abs=1e-9)


@given(some_sets)
def test_what_is_wrong_is_the_mirror_of_what_is_right(sets):
    right, wrong = mean_interval(sets), mean_interval([[1 - value for value in values] for values in sets])
    assert (right.low, right.high) == pytest.approx((1 - wrong.high, 1 - wrong.low), abs=1e-6)


def test_right_or_wrong_gives_almost_wilsons_interval():
    found = mean_interval([[1.0] * 300 + [0.0] * 700])
    wilson = binomtest(300, 1000).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-4)


def test_of_several_sets_each_counts_alike_and_varies_by_itself():
    many, few = np.tile([0.2, 0.8], 50), np.array([0.3, 0.5, 0.7])
    of_many, of_few = 0.09 / 99, 0.04 / 3  # Variances of the sets' means.
    error = math.sqrt((of_many + of_few) / 4)
    degrees = (of_many + of_few) ** 2 / (
        of_many**2 / 99 + of_few**2 / 2
    )  # Welch's: hardly more than the smaller set's.
    found = mean_interval([many, few])
    assert (found.mean, found.standard_error) == pytest.approx((0.5, error))
    difference = difference_interval([many * 0, few * 0], [many, few])
    assert difference.half_width == pytest.approx(t.ppf(0.975, degrees) * error)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("problems", [2, 30, 220])
def test_all_wrong_and_all_right_give_clopper_and_pearsons_bounds(value, problems):
    found = mean_interval([[value] * problems])
    exact = binomtest(int(value) * problems, problems).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.standard_error == 0


def test_a_set_without_spread_beside_others():
    varied = [0.1, 0.4, 0.9, 0.3]
    alone, beside = mean_interval([varied]), mean_interval([varied, [1.0] * 4])
    assert beside.mean == pytest.approx((alone.mean + 1) / 2)
    assert beside.standard_error == pytest.approx(alone.standard_error / 2)
    assert beside.low < beside.mean < beside.high


@pytest.mark.parametrize("value", [0.1, 0.5, 1 / 3])
def test_equal_figures_leave_what_a_share_of_other_problems_could_do(value):
    found = mean_interval([[value] * 30])
    share = 1 - 0.025 ** (1 / 30)
    assert (found.low, found.high) == pytest.approx((value * (1 - share), value + share * (1 - value)))


@pytest.mark.parametrize("sets", [[[0.5]], [[0.0]], [[0.0, 1.0], [1.0]]])
def test_a_set_of_one_problem_shows_no_spread(sets):
    found = mean_interval(sets)
    assert math.isfinite(found.mean)
    assert all(math.isnan(value) for value in (found.low, found.high, found.standard_error))


def test_a_difference_is_students_of_the_pairs():
    rng = np.random.default_rng(0)
    before, after = rng.random(30), rng.random(30)
    found = difference_interval([before], [after])
    expected = ttest_1samp(after - before, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.half_width == pytest.approx(smallest_difference(30, (after - before).std(ddof=1)))


@given(some_pairs)
def test_the_difference_the_other_way_is_the_mirror(pairs):
    before, after = sides(pairs)
    there, back = difference_interval(before, after), difference_interval(after, before)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low), abs=1e-9)
    assert sign_flip_p(before, after) == pytest.approx(sign_flip_p(after, before), abs=0.03)


def test_no_problem_that_differs_leaves_a_share_of_others_that_do():
    same = [[0.0, 1.0] * 15]
    found, share = difference_interval(same, same), 1 - 0.025 ** (1 / 30)
    assert (found.mean, found.low, found.high) == pytest.approx((0.0, -share, share))
    assert sign_flip_p(same, same) == 1


def test_the_permutation_test_is_exact_for_few_problems():
    # Of 2^5 signs, all equal (two of them) are as far from 0 as what was seen.
    assert sign_flip_p([[0.0] * 5], [[0.5] * 5]) == pytest.approx(2 / 32)
    assert sign_flip_p([[0.0]], [[1.0]]) == 1
    assert sign_flip_p([[0.0] * 2], [[0.5, 0.25]]) == pytest.approx(2 / 4)


def test_in_the_permutation_test_sets_count_alike():
    # Weights of 1/2 and four times 1/8, the last one down: without the sign of the first one no sum is as large, and
    # with it only if at most one of the others is down: 5 of 16, as often again with all signs turned.
    before, after = [[0.0], [0.0, 0.0, 0.0, 0.5]], [[0.5], [0.5, 0.5, 0.5, 0.0]]
    assert sign_flip_p(before, after) == pytest.approx(10 / 32)
    # As one set all five weigh the same: at most one is down.
    assert sign_flip_p([[0.0, 0.0, 0.0, 0.0, 0.5]], [[0.5, 0.5, 0.5, 0.5, 0.0]]) == pytest.approx(12 / 32)


def test_the_permutation_test_is_seeded_and_uniform_without_a_difference():
    rng = np.random.default_rng(0)
    pairs = [(rng.random(30), rng.random(30)) for _ in range(60)]
    found = [sign_flip_p([before], [after]) for before, after in pairs]
    assert found == [sign_flip_p([before], [after]) for before, after in pairs]
    assert np.mean(np.array(found) < 0.2) == pytest.approx(0.2, abs=0.16)


def test_what_thirty_problems_can_show():
    assert [smallest_difference(30, spread) for spread in (0.13, 0.5)] == pytest.approx([0.0485, 0.187], abs=1e-3)
    with pytest.raises(DataError, match="problems=1"):
        smallest_difference(1, 0.3)


def test_seeds_vary_by_themselves():
    found = seeds_interval([0.60, 0.62, 0.64])
    assert found.mean == pytest.approx(0.62)
    assert found.half_width == pytest.approx(4.3027 * 0.02 / math.sqrt(3), rel=1e-4)
    assert math.isnan(seeds_interval([0.6, 0.6]).half_width)
    assert math.isnan(seeds_interval([0.6]).low)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"sets of \[2\] and of \[3\] problems"):
        difference_interval([[0.0, 1.0]], [[0.0, 1.0, 1.0]])
    with pytest.raises(DataError, match="no set"):
        mean_interval([])
    with pytest.raises(DataError, match="no training seed"):
        seeds_interval([])
    with pytest.raises(RewardError, match="score=63"):
        mean_interval([[63.0, 60.0]])
