"""Advantages of a step that comes back whole, and of one that comes in parts."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.config import NormalizationKind
from verl_spo.core.advantage import normalize
from verl_spo.core.normalizer import Normalizer
from verl_spo.errors import CheckpointError

BATCH = 32
columns = st.lists(st.tuples(st.floats(-1, 1), st.integers(1, 500)), min_size=1, max_size=40)


def in_parts(how: NormalizationKind = "trajectory", batch_size: int = BATCH) -> Normalizer:
    return Normalizer(how, batch_size, in_parts=True)


def split(rows: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    values, lengths = zip(*rows, strict=True)
    return np.array(values), np.array(lengths)


def right_answers_are_short(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Advantages and lengths of a step, shortest first: the first half nearly all right, the other nearly all wrong."""
    right = rng.random(BATCH) < np.repeat([0.95, 0.05], BATCH // 2)
    return right - 0.5, np.arange(1, BATCH + 1)


@pytest.mark.parametrize("how", get_args(NormalizationKind))
@given(columns, columns)
def test_a_whole_batch_is_normalized_over_itself(how, before, now):
    normalizer = Normalizer(how, BATCH, in_parts=False)
    normalizer.normalize(*split(before))
    normalizer.publish()
    np.testing.assert_array_equal(normalizer.normalize(*split(now)), normalize(*split(now), how))


@pytest.mark.parametrize("how", ["trajectory", "token"])
@given(columns, columns, columns)
def test_the_parts_of_a_step_share_a_centre_and_a_scale_of_the_past(how, before, first, second):
    one, other = in_parts(how), in_parts(how)
    for normalizer in (one, other):
        normalizer.normalize(*split(before))
        normalizer.publish()
    other.normalize(*split(second))
    # Whatever else came back in this step, or did not: an outcome does not enter its own statistics.
    advantages = one.normalize(*split(first))
    np.testing.assert_array_equal(advantages, other.normalize(*split(first)))
    slope = one.normalize([1.0], [1]) - one.normalize([0.0], [1])
    np.testing.assert_allclose(advantages, one.normalize([0.0], [1]) + slope * split(first)[0], atol=1e-12)


def test_right_answers_that_come_first_keep_their_advantage():
    normalizer, rng = in_parts(), np.random.default_rng(0)
    for _ in range(30):
        values, lengths = right_answers_are_short(rng)
        halves = [slice(BATCH // 2), slice(BATCH // 2, BATCH)]
        parts = np.concatenate([normalizer.normalize(values[half], lengths[half]) for half in halves])
        normalizer.publish()
    whole = normalize(values, lengths, "trajectory")
    alone = np.concatenate([normalize(values[half], lengths[half], "trajectory") for half in halves])
    mean = {name: each[values > 0].mean() for name, each in (("parts", parts), ("whole", whole), ("alone", alone))}
    assert mean["parts"] == pytest.approx(mean["whole"], abs=0.1)
    assert mean["alone"] < mean["whole"] / 2


@pytest.mark.parametrize("how", ["trajectory", "token"])
def test_over_many_steps_parts_have_mean_zero_and_deviation_one(how):
    normalizer, rng = in_parts(how), np.random.default_rng(0)
    seen, weights = [], []
    for step in range(400):
        lengths = rng.integers(1, 100, BATCH)
        advantages = normalizer.normalize(rng.random(BATCH) + lengths / 100 - 0.3, lengths)
        normalizer.publish()
        if step > 50:
            seen.extend(advantages)
            weights.extend(lengths if how == "token" else np.ones(BATCH))
    mean = np.average(seen, weights=weights)
    assert mean == pytest.approx(0, abs=0.02)
    # A batch of 32 adds 1/128 to a variance of about 1/6.
    assert np.average((seen - mean) ** 2, weights=weights) == pytest.approx(0.955, abs=0.02)


def test_a_centre_of_its_own_is_kept_over_steps():
    normalizer, rng = in_parts(), np.random.default_rng(0)
    balance = []
    for _ in range(300):
        centre = rng.exponential(size=BATCH)
        advantages = normalizer.normalize(rng.random(BATCH) + 0.1 * centre, np.ones(BATCH), centre)
        normalizer.publish()
        balance.append((centre * advantages).sum() / centre.sum())
    assert np.mean(balance[50:]) == pytest.approx(0, abs=0.02)


def test_before_any_step_a_fair_coin_is_expected():
    assert in_parts(batch_size=10**9).normalize([0.5, -0.5], [1, 9]).tolist() == pytest.approx([1.0, -1.0])


def test_a_first_success_after_many_failures_is_bounded():
    normalizer = in_parts()
    for _ in range(100):
        normalizer.normalize(np.full(BATCH, -0.5), np.ones(BATCH))
        normalizer.publish()
    assert normalizer.normalize([-0.5, 0.5], [1, 1]) == pytest.approx([0.0, 2 * BATCH**0.5])


def test_a_step_without_outcomes_leaves_the_past_as_it_was():
    normalizer = in_parts()
    normalizer.normalize([0.9, 0.1], [1, 1])
    normalizer.publish()
    before = normalizer.normalize([0.3], [1])
    fresh = in_parts()
    fresh.load_state_dict(normalizer.state_dict() | {"step": np.zeros(5)})
    for _ in range(5):
        fresh.publish()
    assert fresh.normalize([0.3], [1]) == pytest.approx(before)


@given(columns, columns)
def test_a_state_in_the_middle_of_a_step_continues_bit_for_bit(before, after):
    whole, resumed = in_parts(), in_parts()
    whole.normalize(*split(before))
    resumed.load_state_dict(whole.state_dict())
    for normalizer in (whole, resumed):
        normalizer.normalize(*split(after))
        normalizer.publish()
    np.testing.assert_equal(resumed.state_dict(), whole.state_dict())
    np.testing.assert_array_equal(resumed.normalize([0.1], [2]), whole.normalize([0.1], [2]))


@pytest.mark.parametrize("state", [{"past": np.zeros(5)}, {"past": np.zeros(5), "step": np.zeros(4)}])
def test_another_state_is_refused(state):
    with pytest.raises(CheckpointError, match="normalizer"):
        in_parts().load_state_dict(state)
