import json
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from verl_spo.config import SamplingKind
from verl_spo.core.sampling import PromptSampler
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import CheckpointError, SPOError

KINDS = get_args(SamplingKind)


class CountingTracker(ValueTracker):
    """Counts the prompts that are looked at."""

    looked_at = 0

    def value(self, slots=None):
        result = super().value(slots)
        self.looked_at += result.size
        return result


def spread(size: int, seed: int = 0) -> ValueTracker:
    rng = np.random.default_rng(seed)
    return ValueTracker.from_value(size, rng.random(size), rng.uniform(0.5, 30, size))


def successive(weights, n) -> dict[tuple[int, ...], float]:
    """Probability of every ordered outcome of `n` weighted draws, one after the other, without replacement."""
    if n == 0:
        return {(): 1.0}
    outcomes = {}
    for first in np.flatnonzero(weights):
        rest = np.array(weights, dtype=float)
        rest[first] = 0.0
        for others, probability in successive(rest, n - 1).items():
            outcomes[(int(first), *others)] = probability * weights[first] / weights.sum()
    return outcomes


def agrees(seen: Counter, expected: dict) -> bool:
    """A chi-square test; the seeds are fixed, so it always gives the same answer."""
    assert set(seen) <= set(expected)
    total = sum(seen.values())
    observed = [seen[key] for key in expected]
    return chisquare(observed, [total * p for p in expected.values()]).pvalue > 1e-3


def draws(sampler, n, tracker, times, clock=0.0, blocked=None) -> Counter:
    return Counter(tuple(sampler.draw(n, tracker, clock, blocked).tolist()) for _ in range(times))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"gamma": 1.0}, {"epsilon": 0.0}, {"kind": "uniform"}])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_draws_of_a_small_pool_are_successive_weighted_draws(n, options):
    tracker, sampler = spread(6), PromptSampler(6, seed=n, **options)
    expected = successive(sampler.weights(tracker, 0.0), n)
    assert agrees(draws(sampler, n, tracker, 20_000), expected)


@pytest.mark.slow
def test_draws_by_proposals_alone_are_successive_weighted_draws():
    tracker, sampler = spread(40), PromptSampler(40, seed=5)
    seen: Counter = Counter()
    for _ in range(40_000):
        drawn = tuple(sampler.draw(2, tracker, 0.0).tolist())
        if not sampler.scanned:
            seen[drawn] += 1
    assert sum(seen.values()) > 39_900
    assert agrees(seen, successive(sampler.weights(tracker, 0.0), 2))


@pytest.mark.slow
@pytest.mark.parametrize("left_out", [1, 2])
def test_draws_of_nearly_the_whole_pool_are_successive_weighted_draws(left_out):
    size = 7
    tracker, sampler = spread(size, seed=3), PromptSampler(size, epsilon=0.01, seed=left_out)
    expected: Counter = Counter()
    for outcome, probability in successive(sampler.weights(tracker, 0.0), size - left_out).items():
        expected[frozenset(outcome)] += probability
    seen: Counter = Counter()
    for outcome, times in draws(sampler, size - left_out, tracker, 20_000).items():
        seen[frozenset(outcome)] += times
    assert agrees(seen, expected)


@pytest.mark.slow
def test_the_order_of_a_draw_of_the_whole_pool_is_successive_too():
    tracker, sampler = spread(4), PromptSampler(4, seed=8)
    seen = draws(sampler, 4, tracker, 20_000)
    assert sampler.scanned
    assert agrees(seen, successive(sampler.weights(tracker, 0.0), 4))


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
def test_blocked_and_filtered_prompts_are_passed_over(n):
    values, n_eff = [0.0, 0.02, 0.3, 0.5, 0.7, 0.9, 1.0, 1.0], [8, 2, 8, 8, 8, 8, 8, 3]
    tracker = ValueTracker.from_value(8, values, n_eff)
    sampler = PromptSampler(8, value_range=(0.05, 0.95), filter_min_n_eff=4.0, seed=n)
    blocked = np.zeros(8, dtype=bool)
    blocked[[3, 4]] = True
    weights = np.where(blocked, 0.0, sampler.weights(tracker, 0.0))
    assert np.flatnonzero(weights).tolist() == [1, 2, 5, 7]
    assert agrees(draws(sampler, n, tracker, 20_000, blocked=blocked), successive(weights, n))


def test_a_scan_draws_in_order_of_the_draws():
    tracker, sampler = ValueTracker.from_value(2000, np.tile([0.5, 1.0], 1000)), PromptSampler(2000)
    drawn = sampler.draw(2000, tracker, 0.0)
    assert sampler.scanned
    # Weights 0.55 and 0.05: when 500 are left, 0.05 % of the heavy half should be among them.
    assert np.count_nonzero(drawn[-500:] % 2 == 0) <= 5


def test_weights_by_hand():
    tracker = ValueTracker.from_value(4, [0.5, 0.0, 0.2, 0.5], [1.0, 1.0, 4.0, 16.0])
    assert PromptSampler(4, epsilon=0.05).weights(tracker, 0.0) == pytest.approx([0.55, 0.05, 0.45, 0.55])
    assert PromptSampler(4, gamma=0.5).weights(tracker, 0.0) == pytest.approx([0.55, 0.05, 0.25, 0.175])
    assert PromptSampler(4, kind="uniform").weights(tracker, 0.0).tolist() == [1.0] * 4


def test_evidence_is_read_at_the_clock():
    tracker = ValueTracker.from_value(2, [0.5, 1.0], 16.0)
    later = float(np.log(4))
    assert PromptSampler(2, gamma=0.5).weights(tracker, later) == pytest.approx([0.3, 0.05])
    passing_over = PromptSampler(2, value_range=(0.05, 0.95), filter_min_n_eff=8.0)
    assert passing_over.weights(tracker, 0.0)[1] == 0.0
    assert passing_over.weights(tracker, later)[1] > 0.0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 100)), min_size=1), st.floats(0, 1), st.floats(0, 2))
def test_weights_never_exceed_the_bound_that_proposals_are_accepted_by(prompts, gamma, epsilon):
    tracker = ValueTracker.from_value(len(prompts), [v for v, _ in prompts], [n for _, n in prompts])
    weights = PromptSampler(len(prompts), epsilon=epsilon, gamma=gamma).weights(tracker, 0.0)
    assert (weights <= 0.5 + epsilon).all()
    assert (weights >= epsilon).all()


@given(st.integers(0, 60), st.integers(0, 2**32), st.sampled_from(KINDS))
def test_a_draw_has_no_repeats_and_nothing_blocked(n, seed, kind):
    blocked = np.arange(80) % 4 == 0
    drawn = PromptSampler(80, kind=kind, seed=seed).draw(n, spread(80, seed), 0.0, blocked)
    assert drawn.shape == (n,)
    assert drawn.dtype == np.int64
    assert np.unique(drawn).size == n
    assert not blocked[drawn].any()


def test_the_cost_of_a_draw_does_not_grow_with_the_pool():
    work = {}
    for size in (10**4, 10**6):
        rng = np.random.default_rng(0)
        tracker, sampler = CountingTracker.from_value(size, rng.random(size)), PromptSampler(size)
        for _ in range(10):
            sampler.draw(1000, tracker, 0.0)
            assert not sampler.scanned
        work[size] = tracker.looked_at
    assert work[10**6] < 1.1 * work[10**4] < 10 * 3000


def test_a_solved_pool_costs_the_floors_share_of_proposals():
    size = 10**6
    tracker, sampler = CountingTracker.from_value(size, np.ones(size)), PromptSampler(size, epsilon=0.05)
    sampler.draw(1000, tracker, 0.0)
    assert sampler.proposals == tracker.looked_at
    assert sampler.proposals < 1.5 * 1000 * 0.55 / 0.05


def test_no_draw_costs_more_than_looking_at_every_prompt_twice():
    tracker, sampler = CountingTracker.from_value(1000, np.ones(1000)), PromptSampler(1000, epsilon=1e-9)
    assert np.unique(sampler.draw(1000, tracker, 0.0)).size == 1000
    assert sampler.scanned
    assert tracker.looked_at == 2000
    assert sampler.metrics() == {"spo/draw_proposals": 1000, "spo/draw_scanned": 1, "spo/draw_called_back": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_prompts(kind):
    tracker, samplers = spread(100), [PromptSampler(100, kind=kind, seed=seed) for seed in (1, 1, 2)]
    first, second, other = (sampler.draw(20, tracker, 0.0).tolist() for sampler in samplers)
    assert first == second != other


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_through_json_continues_bit_for_bit(kind):
    tracker, sampler = spread(500), PromptSampler(500, kind=kind, seed=3)
    for n in (7, 400, 33):
        sampler.draw(n, tracker, 0.0)
    state = json.loads(json.dumps(sampler.state_dict()))
    restored = PromptSampler(500, kind=kind, seed=99)
    restored.load_credits(sampler.credits())
    restored.load_state_dict(state)
    for n in (5, 100, 450, 500, 1):
        np.testing.assert_array_equal(sampler.draw(n, tracker, 0.0), restored.draw(n, tracker, 0.0))
    assert sampler.state_dict() == restored.state_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pool_size": 9}, "pool_size 9, this run has 8"),
        ({"rng": {"bit_generator": "MT19937", "state": {}, "has_uint32": 0, "uinteger": 0}}, "MT19937"),
        ({"rng": {}}, "bit_generator"),
        ({"more": 1}, "more"),
    ],
)
def test_a_state_of_another_sampler_is_refused(change, message):
    sampler = PromptSampler(8)
    with pytest.raises(CheckpointError, match=message):
        sampler.load_state_dict(sampler.state_dict() | change)


@pytest.mark.parametrize("kind", ["prioritized", "even"])
def test_too_few_prompts_says_how_many_and_why(kind):
    tracker = ValueTracker.from_value(6, [0.0, 0.0, 0.1, 0.5, 1.0, 0.5], 8.0)
    sampler = PromptSampler(6, kind=kind, epsilon=0.0)
    blocked = np.array([False, False, False, True, False, False])
    assert sorted(sampler.draw(2, tracker, 0.0, blocked).tolist()) == [2, 5]
    with pytest.raises(SPOError) as error:
        sampler.draw(3, tracker, 0.0, blocked)
    for part in ("3 prompts wanted, but only 2 of 6", "1 are in flight", "3 have no weight with spo.epsilon=0"):
        assert part in str(error.value)


@pytest.mark.parametrize("kind", ["prioritized", "even"])
def test_prompts_that_are_passed_over_come_back_after_all_others(kind):
    values = [0.5, 1.0, 0.3, 1.0, 0.0, 0.6]
    tracker = ValueTracker.from_value(6, values, 8.0)
    sampler = PromptSampler(6, kind=kind, epsilon=0.01, value_range=(0.1, 0.9))
    blocked = np.array([False, False, False, False, True, False])
    for _ in range(50):
        drawn = sampler.draw(4, tracker, 0.0, blocked).tolist()
        assert sorted(drawn[:3]) == [0, 2, 5]
        assert drawn[3] in (1, 3)
        assert sampler.metrics()["spo/draw_called_back"] == 1
    sampler.draw(3, tracker, 0.0, blocked)
    assert sampler.called_back == 0


def test_prompts_that_rest_are_passed_over_and_called_back_like_those_of_the_filter():
    tracker, sampler = spread(6), PromptSampler(6, value_range=(0.0, 0.9), filter_min_n_eff=0.0)
    resting = np.array([True, False, False, True, False, False])
    assert np.flatnonzero(sampler.weights(tracker, 0.0, resting=resting) == 0.0).tolist() == [0, 3, 5]
    for _ in range(50):
        drawn = sampler.draw(4, tracker, 0.0, resting=resting).tolist()
        assert sorted(drawn[:3]) == [1, 2, 4]
        assert sampler.called_back == 1


@pytest.mark.slow
def test_prompts_come_back_by_their_weights():
    tracker, sampler = ValueTracker.from_value(4, [0.95, 1.0, 0.99, 0.5], 8.0), PromptSampler(4, value_range=(0.1, 0.9))
    expected = successive(PromptSampler(4).weights(tracker, 0.0) * [1, 1, 1, 0], 2)
    seen = Counter(tuple(sampler.draw(3, tracker, 0.0).tolist()[1:]) for _ in range(20_000))
    assert agrees(seen, expected)


def test_even_draws_are_as_many_as_the_weights_say():
    tracker, sampler = spread(80), PromptSampler(80, kind="even")
    counts = Counter(slot for _ in range(300) for slot in sampler.draw(8, tracker, 0.0).tolist())
    weights = sampler.weights(tracker, 0.0)
    np.testing.assert_allclose([counts[slot] for slot in range(80)], 300 * 8 * weights / weights.sum(), atol=2)
    assert sampler.metrics() == {"spo/draw_proposals": 0, "spo/draw_scanned": 1, "spo/draw_called_back": 0}


@pytest.mark.parametrize(("taken", "loading"), [("even", "prioritized"), ("uniform", "even")])
def test_what_is_owed_is_no_state_of_other_draws(taken, loading):
    with pytest.raises(CheckpointError, match="owed"):
        PromptSampler(8, kind=loading).load_credits(PromptSampler(8, kind=taken).credits())


@pytest.mark.parametrize("size", [0, 1])
def test_more_prompts_than_the_pool_has(size):
    with pytest.raises(SPOError, match=f"{size + 1} prompts wanted, but only {size} of {size}"):
        PromptSampler(size).draw(size + 1, ValueTracker.from_value(size), 0.0)


@pytest.mark.parametrize(("size", "n"), [(0, 0), (1, 0), (5, 0), (1, 1)])
def test_the_smallest_draws(size, n):
    assert PromptSampler(size).draw(n, ValueTracker.from_value(size), 0.0).tolist() == [0] * n
