import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import CheckpointError

rewards = st.floats(0, 1)
retentions = st.floats(0.01, 1)
event_times = st.floats(0, 30)


def batches(*columns):
    """A batch over a pool of 4 prompts, repeats included: (slot, *columns) a row."""
    return st.lists(st.tuples(st.integers(0, 3), *columns), max_size=25)


def same(left: ValueTracker, right: ValueTracker) -> None:
    for name, values in left.state_dict().items():
        np.testing.assert_allclose(values, right.state_dict()[name], rtol=1e-9, atol=1e-12, err_msg=name)


@given(st.floats(0.001, 0.999), st.floats(0.1, 50), rewards, retentions)
def test_an_update_is_an_adaptive_moving_average(value, n_eff, reward, rho):
    tracker = ValueTracker.from_value(1, value, n_eff)
    eta = 1 / (rho * n_eff + 1)
    tracker.observe([0], [reward], rho, step=1)
    assert tracker.value()[0] == pytest.approx(value + eta * (reward - value), abs=1e-12)
    assert tracker.n_eff()[0] == pytest.approx(rho * n_eff + 1, rel=1e-12)


def test_steps_are_counted_from_a_visit_not_from_the_start():
    tracker = ValueTracker.from_value(3)
    tracker.observe([0, 1], [1, 0], 0.9, step=2)
    tracker.observe([1], [1], 0.9, step=5)
    assert tracker.steps_since([0, 1, 2], 7).tolist() == [5, 2, 0]


@given(batches(rewards, retentions))
def test_repeats_in_closed_form_equal_one_after_the_other(batch):
    at_once, one_by_one = ValueTracker.from_value(4, 0.3, 2.0), ValueTracker.from_value(4, 0.3, 2.0)
    at_once.observe([b[0] for b in batch], [b[1] for b in batch], [b[2] for b in batch], step=3)
    for slot, reward, rho in batch:
        one_by_one.observe([slot], [reward], rho, step=3)
    same(at_once, one_by_one)
    assert at_once.n_visited == one_by_one.n_visited == len({b[0] for b in batch})


@given(batches(rewards, event_times), st.randoms(use_true_random=False), st.integers(1, 6))
def test_event_time_does_not_depend_on_the_order_or_grouping_of_arrivals(batch, random, cuts):
    in_order, shuffled = ValueTracker.from_value(4), ValueTracker.from_value(4)
    in_order.observe_at([b[0] for b in batch], [b[1] for b in batch], [b[2] for b in batch], step=1)
    random.shuffle(batch)
    for part in (batch[k::cuts] for k in range(cuts)):
        shuffled.observe_at([b[0] for b in part], [b[1] for b in part], [b[2] for b in part], step=1)
    same(in_order, shuffled)


@given(batches(rewards, retentions, event_times))
def test_values_stay_in_bounds(batch):
    slots, given_rewards = [b[0] for b in batch], [b[1] for b in batch]
    by_visits, by_events = ValueTracker.from_value(4), ValueTracker.from_value(4)
    for _ in range(20):
        by_visits.observe(slots, given_rewards, [b[2] for b in batch], step=1)
        by_events.observe_at(slots, given_rewards, [b[3] for b in batch], step=1)
    for tracker in (by_visits, by_events):
        assert ((tracker.value() >= 0) & (tracker.value() <= 1)).all()
        assert (tracker.n_eff(clock=1e3) >= 0).all()


def test_constant_rewards_are_learnt_and_evidence_reaches_the_window():
    tracker = ValueTracker.from_value(1)
    for step in range(400):
        tracker.observe([0], [1.0], 0.875, step)
    assert tracker.value()[0] == pytest.approx(1.0, abs=1e-9)
    assert tracker.n_eff()[0] == pytest.approx(8.0)


def test_event_time_fades_evidence_but_not_the_value():
    tracker = ValueTracker.from_value(2, [0.25, 0.5], 4.0)
    assert tracker.n_eff(clock=np.log(2)) == pytest.approx([2.0, 2.0])
    assert tracker.n_eff([1], clock=np.log(4)) == pytest.approx([1.0])
    assert tracker.value().tolist() == [0.25, 0.5]


def test_late_evidence_is_faded_and_leaves_the_coordinate():
    tracker = ValueTracker(alpha=[1.0], beta=[1.0])
    tracker.observe_at([0], [1.0], [2.0], step=1)
    tracker.observe_at([0], [0.0], [1.0], step=2)
    assert tracker.z.tolist() == [2.0]
    assert tracker.alpha == pytest.approx([np.exp(-2) + 1])
    assert tracker.beta == pytest.approx([np.exp(-2) + np.exp(-1)])


@pytest.mark.parametrize("gap", [1e3, 1e6, 1e300])
def test_a_gap_of_any_length_forgets_but_never_breaks(gap):
    tracker = ValueTracker.from_value(2, 0.5, 8.0)
    assert tracker.n_eff(clock=gap).tolist() == [0.0, 0.0]
    tracker.observe_at([0, 0], [0.25, 1.0], [gap, 0.0], step=9)
    assert tracker.value().tolist() == [0.25, 0.5]
    assert tracker.n_eff([0], clock=gap) == pytest.approx([1.0])


def test_endless_failures_underflow_to_a_value_of_zero():
    tracker = ValueTracker.from_value(1)
    for _ in range(20):
        tracker.observe(np.zeros(500, dtype=int), np.zeros(500), 0.5, step=1)
    assert tracker.value().tolist() == [0.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, bool])
def test_any_number_type_is_read_and_float64_is_kept(dtype):
    tracker = ValueTracker.from_value(3)
    tracker.observe(np.array([2, 0], dtype=np.int32), np.array([1, 0], dtype=dtype), np.float32(1.0), step=4)
    assert tracker.alpha.dtype == tracker.beta.dtype == np.float64
    assert tracker.alpha.tolist() == [0.5, 0.5, 1.5]
    assert tracker.beta.tolist() == [1.5, 0.5, 0.5]
    assert tracker.visits.tolist() == [1, 0, 1]
    assert tracker.last_step.tolist() == [4, 0, 4]


def test_an_empty_batch_and_an_empty_pool_change_nothing():
    for size in (0, 1):
        tracker = ValueTracker.from_value(size)
        tracker.observe([], [], [], step=1)
        tracker.observe([], [], 0.9, step=1)
        tracker.observe_at([], [], [], step=1)
        same(tracker, ValueTracker.from_value(size))
        assert tracker.value([]).shape == tracker.n_eff([]).shape == (0,)


def test_reading_returns_copies():
    tracker = ValueTracker.from_value(2)
    tracker.value()[:] = 9
    tracker.n_eff()[:] = 9
    tracker.state_dict()["alpha"][:] = 9
    same(tracker, ValueTracker.from_value(2))


def test_values_and_evidence_may_differ_by_prompt():
    tracker = ValueTracker.from_value(3, [0.0, 0.5, 1.0], [1.0, 2.0, 8.0])
    assert tracker.alpha.tolist() == [0.0, 1.0, 8.0]
    assert tracker.beta.tolist() == [1.0, 1.0, 0.0]


def test_state_round_trip_is_exact():
    tracker, restored = ValueTracker.from_value(5, 0.1, 3.0), ValueTracker.from_value(5)
    tracker.observe_at([1, 4, 1], [0.3, 1.0, 0.7], [0.5, 2.5, 1.5], step=7)
    restored.load_state_dict(tracker.state_dict())
    for name, values in tracker.state_dict().items():
        assert values.dtype == restored.state_dict()[name].dtype
        np.testing.assert_array_equal(values, restored.state_dict()[name])
    assert restored.n_visited == 2
    restored.observe([0], [1.0], 0.9, step=8)
    assert tracker.visits[0] == 0


def test_a_state_of_another_pool_is_refused():
    with pytest.raises(CheckpointError, match=r"\(3,\).*\(4,\)"):
        ValueTracker.from_value(4).load_state_dict(ValueTracker.from_value(3).state_dict())


def test_a_state_of_other_fields_is_refused():
    state = ValueTracker.from_value(4).state_dict()
    state["gamma"] = state.pop("beta")
    with pytest.raises(CheckpointError, match=r"gamma.*expected.*beta"):
        ValueTracker.from_value(4).load_state_dict(state)
