"""A run's SPO state: what is frozen, what counts, and what survives a restart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.config import RETENTIONS, SPOConfig
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import CheckpointError, RewardError, SPOError
from verl_spo.training.previous import Response
from verl_spo.training.session import Completion, Outcomes, Session

POOL, BATCH = 40, 8


def make_session(**options: object) -> Session:
    config = SPOConfig.from_mapping({"retention": "constant", **options})
    return Session(config, ValueTracker.from_value(POOL), BATCH, lambda slot: f"prompt {slot}")


def outcomes_of(uids: list[str], rewards: object, version: int = 0, kl: float = 0.02) -> Outcomes:
    n = len(uids)
    return Outcomes(
        uids=uids,
        rewards=np.broadcast_to(np.asarray(rewards, dtype=np.float64), (n,)).copy(),
        lengths=np.arange(1, n + 1),
        versions=np.full(n, version),
        kl=np.full(n, kl),
        energies=np.linspace(0.0, 3.0, n),
    )


def train_step(session: Session, step: int, rng: np.random.Generator) -> Completion:
    dispatch = session.dispatch(BATCH)
    completion = session.complete(outcomes_of(dispatch.uids, rng.integers(0, 2, BATCH), step - 1), step)
    session.publish(0.03)
    return completion


def test_a_baseline_is_frozen_when_its_prompt_is_dispatched() -> None:
    session = make_session()
    first = session.dispatch(BATCH)
    session.tracker.observe(first.slots, np.ones(BATCH), 0.9, step=1)
    completion = session.complete(outcomes_of(first.uids, 1.0), step=1)
    assert completion.baselines == pytest.approx(0.5)
    assert completion.raw_advantages == pytest.approx(0.5)


def test_a_prompt_in_flight_is_not_drawn_again_until_it_returns_or_is_released() -> None:
    session = make_session()
    dispatches = [session.dispatch(BATCH) for _ in range(POOL // BATCH)]
    assert len(np.unique(np.concatenate([each.slots for each in dispatches]))) == POOL
    with pytest.raises(SPOError, match="1 prompts wanted, but only 0 of 40 can be drawn: 40 are in flight"):
        session.dispatch(1)
    assert session.release(dispatches[0].uids[:3]) == 3
    assert set(session.dispatch(3).slots) == set(dispatches[0].slots[:3])
    session.complete(outcomes_of(dispatches[1].uids, 0.0), step=1)
    assert set(session.dispatch(BATCH).slots) == set(dispatches[1].slots)


def test_a_released_request_is_neither_success_nor_failure() -> None:
    session = make_session()
    dispatch = session.dispatch(BATCH)
    session.release(dispatch.uids)
    assert session.tracker.visits.sum() == 0
    assert session.tracker.value() == pytest.approx(0.5)


@given(st.permutations(range(BATCH)))
def test_the_order_of_arrival_changes_nothing(order: list[int]) -> None:
    rewards = np.arange(BATCH) % 2
    in_order, shuffled = make_session(), make_session()
    uids = in_order.dispatch(BATCH).uids
    assert shuffled.dispatch(BATCH).uids == uids
    expected = in_order.complete(outcomes_of(uids, rewards), step=1)
    arrived = outcomes_of(uids, rewards)
    mixed = Outcomes(
        uids=[uids[i] for i in order],
        rewards=arrived.rewards[order],
        lengths=arrived.lengths[order],
        versions=arrived.versions[order],
        kl=arrived.kl[order],
        energies=arrived.energies[order],
    )
    assert shuffled.complete(mixed, step=1).by_uid() == expected.by_uid()
    assert np.array_equal(shuffled.tracker.alpha, in_order.tracker.alpha)


def test_a_bad_reward_names_the_prompt() -> None:
    session = make_session()
    dispatch = session.dispatch(2)
    with pytest.raises(RewardError, match=rf"reward=7 for prompt prompt {dispatch.slots[1]}: .*spo.reward_high"):
        session.complete(outcomes_of(dispatch.uids, [0.0, 7.0]), step=1)


def test_advantages_over_the_optimal_baseline_are_centred_by_energy() -> None:
    session = make_session(baseline="optimal")
    outcomes = outcomes_of(session.dispatch(BATCH).uids, np.arange(BATCH) % 2)
    completion = session.complete(outcomes, step=1)
    assert (outcomes.energies * completion.advantages).sum() == pytest.approx(0, abs=1e-9)
    assert abs(completion.advantages.mean()) > 0.01


OPTIMAL = {"baseline": "optimal"}


@pytest.mark.parametrize("options", [*({"retention": retention} for retention in RETENTIONS), OPTIMAL])
def test_a_restored_session_continues_bit_for_bit(options: dict[str, str]) -> None:
    whole, rng = make_session(**options), np.random.default_rng(0)
    for step in range(1, 5):
        train_step(whole, step, rng)
    late = whole.dispatch(3)
    whole.previous.put(5, Response(*(np.arange(2, dtype=kind) for kind in (np.int32, np.int32, bool, np.float32))))
    arrays, values = whole.state()
    resumed = make_session(**options)
    resumed.restore(arrays, values)
    assert resumed.in_flight == late.uids
    for session in (whole, resumed):
        session.complete(outcomes_of(late.uids, 1.0, version=2), step=5)
        session.publish(0.01)
    rngs = [np.random.default_rng(1), np.random.default_rng(1)]
    for step in range(6, 12):
        ours, theirs = train_step(whole, step, rngs[0]), train_step(resumed, step, rngs[1])
        assert ours.uids == theirs.uids
        assert np.array_equal(ours.advantages, theirs.advantages)
    for name, array in whole.state()[0].items():
        assert np.array_equal(array, resumed.state()[0][name]), name
    assert whole.state()[1] == resumed.state()[1]
    assert np.array_equal(whole.histogram.counts, resumed.histogram.counts)


def test_a_state_of_another_shape_is_refused_with_both_named() -> None:
    arrays, values = make_session().state()
    small = Session(SPOConfig(retention="constant"), ValueTracker.from_value(3), 2, str)
    with pytest.raises(CheckpointError, match=r"40.*3"):
        small.restore(arrays, values)
    with pytest.raises(CheckpointError, match="sampler"):
        make_session().restore(arrays, {})


def test_joined_completions_keep_their_order() -> None:
    session, rng = make_session(), np.random.default_rng(0)
    parts = [train_step(session, 1, rng), train_step(session, 1, rng)]
    joined = Completion.joined(parts)
    assert joined.uids == parts[0].uids + parts[1].uids
    assert np.array_equal(joined.slots[BATCH:], parts[1].slots)
