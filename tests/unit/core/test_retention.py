import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.config import RetentionKind, SPOConfig
from verl_spo.core.retention import Retention, make_retention
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import CheckpointError, SPOError

POOL = 8


def make(kind: str, batch_size: int = 2, pool_size: int = POOL, **options) -> Retention:
    return make_retention(SPOConfig(retention=kind, **options), pool_size, batch_size)


def test_needs():
    needs = {kind: (make(kind).needs_policy_change, make(kind).needs_update_change) for kind in get_args(RetentionKind)}
    assert needs == {
        "kl": (True, False),
        "constant": (False, False),
        "event": (False, False),
        "drift": (False, True),
    }


def test_constant_keeps_rho():
    tracker = ValueTracker.from_value(POOL)
    used = make("constant", rho=0.5).observe(tracker, [3, 3], [1, 0], [0, 0], None, 1)
    assert used.tolist() == [0.5, 0.5]
    assert tracker.alpha[3] == 0.5 * (0.5 * 0.5 + 1)


def test_kl_halves_by_d_half_within_its_bounds():
    retention = make("kl", rho_min=0.25, rho_max=0.96, d_half=0.06)
    change = [0.06, 0.03, np.nan, 0.0, 10.0, np.inf]
    used = retention.observe(ValueTracker.from_value(POOL), range(6), np.ones(6), np.zeros(6), change, 1)
    assert used == pytest.approx([0.5, 0.5**0.5, 0.96, 0.96, 0.25, 0.25])


def visited(at: dict[int, int]) -> ValueTracker:
    """A tracker whose slots were last visited at these steps."""
    tracker = ValueTracker.from_value(POOL)
    for slot, step in at.items():
        tracker.observe([slot], [1.0], 0.9, step)
    return tracker


def test_a_forgotten_response_stands_for_the_change_since_then_at_the_pace_of_the_known_ones():
    retention = make("kl", rho_min=0.01, rho_max=1.0, d_half=0.06)
    # Two that are known moved 0.06 in 6 steps in all: 0.01 a step. The forgotten ones wait for 3 and 12 steps.
    tracker = visited({0: 18, 1: 16, 2: 17, 3: 8})
    used = retention.observe(tracker, range(5), np.ones(5), np.zeros(5), [0.01, 0.05, np.nan, np.nan, np.nan], 20)
    assert used == pytest.approx([2 ** (-1 / 6), 2 ** (-5 / 6), 2 ** (-3 / 6), 2 ** (-12 / 6), 1.0])
    # The pace stays until another is known.
    assert retention.observe(tracker, [0], [1], [0], [np.nan], 26) == pytest.approx([0.5])


def test_a_forgotten_response_keeps_the_least_while_no_change_was_ever_known():
    used = make("kl").observe(visited({0: 1}), [0, 1], [1, 1], [0, 0], [np.nan, np.nan], 2)
    assert used == pytest.approx([0.875, 0.96])


@given(
    st.lists(st.integers(1, 10), min_size=1, max_size=POOL - 1),
    st.integers(10, 40),
    st.floats(0.1, 1),
    st.floats(0, 0.1),
)
def test_a_forgotten_response_is_never_taken_for_a_fresher_one(known, forgotten, power, speed):
    """Whether the policy goes straight ahead (a power of 1) or wanders (1/2), and never below rho_min."""
    gaps = np.array([*known, forgotten])
    change = speed * gaps**power
    tracker = visited({slot: 50 - gap for slot, gap in enumerate(gaps.tolist())})
    used = make("kl").observe(tracker, range(len(gaps)), gaps, gaps, [*change[:-1], np.nan], 50)
    assert 0.875 <= used[-1] <= max(2 ** (-change[-1] / 0.06), 0.875) + 1e-12


def test_kl_without_d_is_refused():
    with pytest.raises(SPOError, match="policy_change=None"):
        make("kl").observe(ValueTracker.from_value(POOL), [0], [1], [0], None, 1)


@pytest.mark.parametrize(
    ("batch_size", "pool_size", "event_step", "scale"),
    [(2, 8, "scaled", 0.25), (8, 8, "scaled", 1.0), (16, 8, "scaled", 1.0), (2, 8, "published", 1.0)],
)
def test_an_event_keeps_rho_scaled_to_the_pool(batch_size, pool_size, event_step, scale):
    retention = make("event", batch_size, pool_size, event_step=event_step, rho=0.875)
    retention.publish()
    retention.publish()
    assert math.exp(-retention.clock) == pytest.approx(0.875 ** (2 * scale))
    assert retention.metrics()["spo/event_step"] == pytest.approx(-math.log(0.875) * scale)


def test_one_revisit_a_pool_over_batch_events_costs_one_rho():
    retention, tracker = make("event", batch_size=2, pool_size=8, rho=0.875), ValueTracker.from_value(POOL, 0.5, 8.0)
    for _ in range(4):
        retention.publish()
    assert retention.observe(tracker, [0], [1.0], [4], None, 1) == pytest.approx([0.875])
    assert tracker.n_eff([0], retention.clock) == pytest.approx([8.0])


@given(st.floats(0, 10))
def test_a_drift_step_follows_the_update_within_its_bounds(drift):
    retention = make("drift", batch_size=8, rho_min=0.875, rho_max=0.96, d_half=0.06)
    retention.publish(drift)
    assert math.exp(-retention.clock) == pytest.approx(min(max(2 ** (-drift / 0.06), 0.875), 0.96))


def test_a_drift_that_could_not_be_measured_repeats_the_step_before():
    retention = make("drift", batch_size=8, rho_min=0.875, rho_max=0.96, d_half=0.06)
    retention.publish(math.nan)
    assert math.exp(-retention.clock) == pytest.approx(0.96)
    retention.publish(0.01)
    measured = retention.metrics()["spo/event_step"]
    retention.publish(math.nan)
    assert retention.metrics()["spo/event_step"] == pytest.approx(measured)


def test_drift_without_a_measurement_is_refused():
    with pytest.raises(SPOError, match="loss_mode=spo"):
        make("drift").publish(None)


@pytest.mark.parametrize("kind", ["event", "drift"])
def test_evidence_counts_by_the_version_that_made_it(kind):
    retention, tracker = make(kind, batch_size=POOL, rho_min=0.5, rho=0.5), ValueTracker.from_value(POOL)
    for _ in range(2):
        retention.publish(1e9)
    fresh = retention.observe(tracker, [0, 1], [1.0, 1.0], [2, 0], None, 1)
    late = retention.observe(tracker, [0], [0.0], [1], None, 2)
    assert fresh == pytest.approx([0.25, 1.0])
    assert late == pytest.approx([1.0])
    assert tracker.alpha[:2] == pytest.approx([0.25 * 0.5 + 1, 1.5])
    assert tracker.beta[0] == pytest.approx(0.25 * 0.5 + 0.5)


@pytest.mark.parametrize("kind", ["constant", "kl"])
def test_visits_know_no_clock(kind):
    retention = make(kind)
    retention.publish(1.0)
    assert retention.clock == 0.0
    assert retention.metrics() == {}


@pytest.mark.parametrize("kind", get_args(RetentionKind))
def test_an_empty_batch_changes_nothing(kind):
    tracker = ValueTracker.from_value(POOL)
    assert make(kind).observe(tracker, [], [], [], [], 1).shape == (0,)
    assert tracker.n_visited == 0


@pytest.mark.parametrize("kind", get_args(RetentionKind))
def test_a_restored_retention_continues_exactly(kind):
    def go(retention, tracker, steps):
        for step in steps:
            versions = [max(step - 2, 0), step]
            retention.observe(tracker, [step % POOL, 0], [1.0, 0.3], versions, [0.01 * step, np.nan], step)
            retention.publish(0.01 * step)

    whole, tracker = make(kind), ValueTracker.from_value(POOL)
    go(whole, tracker, range(20))
    half, restored, copy = make(kind), make(kind), ValueTracker.from_value(POOL)
    go(half, copy, range(10))
    restored.load_state_dict(half.state_dict())
    go(restored, copy, range(10, 20))
    assert restored.clock == whole.clock
    for name, values in tracker.state_dict().items():
        np.testing.assert_array_equal(values, copy.state_dict()[name])


def test_a_state_of_another_kind_is_refused():
    with pytest.raises(CheckpointError, match=r"\['z'\].*\['pace'\]"):
        make("kl").load_state_dict(make("event").state_dict())
