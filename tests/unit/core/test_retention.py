import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.config import RETENTIONS, SPOConfig
from verl_spo.core.retention import Retention, make_retention, update_drift
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import CheckpointError, ConfigError, SPOError

POOL = 8


def make(kind: str, batch_size: int = 2, pool_size: int = POOL, **options) -> Retention:
    return make_retention(SPOConfig(retention=kind, **options), pool_size, batch_size)


def test_needs():
    needs = {kind: (make(kind).needs_kl, make(kind).needs_drift) for kind in RETENTIONS}
    assert needs == {
        "kl": (True, False),
        "constant": (False, False),
        "event": (False, False),
        "drift": (False, True),
    }


def test_an_unknown_kind_is_refused_by_name():
    class Options:
        retention, rho, rho_min, rho_max, d_half, event_step = "never", 0.9, 0.9, 0.9, 1.0, "scaled"

    with pytest.raises(ConfigError, match="never"):
        make_retention(Options(), POOL, 2)


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


def test_kl_without_d_is_refused():
    with pytest.raises(SPOError, match="kl=None"):
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
        retention.publish(drift=1e9)
    fresh = retention.observe(tracker, [0, 1], [1.0, 1.0], [2, 0], None, 1)
    late = retention.observe(tracker, [0], [0.0], [1], None, 2)
    assert fresh == pytest.approx([0.25, 1.0])
    assert late == pytest.approx([1.0])
    assert tracker.alpha[:2] == pytest.approx([0.25 * 0.5 + 1, 1.5])
    assert tracker.beta[0] == pytest.approx(0.25 * 0.5 + 0.5)


@pytest.mark.parametrize("kind", ["constant", "kl"])
def test_visits_know_no_clock(kind):
    retention = make(kind)
    retention.publish(drift=1.0)
    assert retention.clock == 0.0
    assert retention.metrics() == {}


@pytest.mark.parametrize("kind", RETENTIONS)
def test_an_empty_batch_changes_nothing(kind):
    tracker = ValueTracker.from_value(POOL)
    assert make(kind).observe(tracker, [], [], [], [], 1).shape == (0,)
    assert tracker.n_visited == 0


@pytest.mark.parametrize("kind", RETENTIONS)
def test_a_restored_retention_continues_exactly(kind):
    def go(retention, tracker, steps):
        for step in steps:
            versions = [max(step - 2, 0), step]
            retention.observe(tracker, [step % POOL, 0], [1.0, 0.3], versions, [0.01 * step, np.nan], step)
            retention.publish(drift=0.01 * step)

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
    with pytest.raises(CheckpointError, match=r"\['z'\].*\[\]"):
        make("kl").load_state_dict(make("event").state_dict())


@given(st.integers(2, 64), st.floats(1e-6, 1))
def test_linear_growth_over_mini_batches_gives_the_whole_change(count, change):
    seen = [change * m / count for m in range(count)]
    assert update_drift(float(np.mean(seen)), count) == pytest.approx(change)


@pytest.mark.parametrize("updates", [0, 1])
def test_one_update_cannot_show_a_drift(updates):
    assert math.isnan(update_drift(0.0, updates))
