"""SPO: what is frozen, what counts, and what survives a restart."""

import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.config import NormalizationKind, RetentionKind, SPOConfig
from verl_spo.core.previous_responses import Response
from verl_spo.core.spo import SPO, Completion
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import CheckpointError, RewardError, SPOError

POOL, BATCH = 40, 8


def make_spo(in_parts: bool = False, **options: object) -> SPO:
    config = SPOConfig.from_mapping({"retention": "constant", **options})
    return SPO(config, pool_size=POOL, batch_size=BATCH, describe=lambda slot: f"prompt {slot}", in_parts=in_parts)


def outcomes_of(spo: SPO, uids: list[str], rewards: object, change: float = 0.02) -> dict[str, Any]:
    """What `complete` wants to know of these requests."""
    n = len(uids)
    return {
        "uids": uids,
        "rewards": np.broadcast_to(np.asarray(rewards, dtype=np.float64), (n,)).copy(),
        "lengths": np.arange(1, n + 1),
        "policy_change": np.full(n, change),
        "squared_norms": np.linspace(0.0, 3.0, n),
    }


def train_step(spo: SPO, rng: np.random.Generator) -> Completion:
    completion = spo.complete(**outcomes_of(spo, spo.dispatch(BATCH).uids, rng.integers(0, 2, BATCH)))
    spo.publish(0.03)
    return completion


def test_a_baseline_is_frozen_when_its_prompt_is_dispatched() -> None:
    spo = make_spo()
    first = spo.dispatch(BATCH)
    spo.tracker.observe(first.slots, np.ones(BATCH), 0.9, step=1)
    completion = spo.complete(**outcomes_of(spo, first.uids, 1.0))
    assert completion.baselines == pytest.approx(0.5)
    assert completion.raw_advantages == pytest.approx(0.5)


def test_a_prompt_in_flight_is_not_drawn_again_until_it_returns_or_is_released() -> None:
    spo = make_spo()
    dispatches = [spo.dispatch(BATCH) for _ in range(POOL // BATCH)]
    assert len(np.unique(np.concatenate([each.slots for each in dispatches]))) == POOL
    with pytest.raises(SPOError, match="1 prompts wanted, but only 0 of 40 can be drawn: 40 are in flight"):
        spo.dispatch(1)
    assert spo.release(dispatches[0].uids[:3]) == 3
    assert set(spo.dispatch(3).slots) == set(dispatches[0].slots[:3])
    spo.complete(**outcomes_of(spo, dispatches[1].uids, 0.0))
    assert set(spo.dispatch(BATCH).slots) == set(dispatches[1].slots)


def test_a_released_request_is_neither_success_nor_failure() -> None:
    spo = make_spo()
    dispatch = spo.dispatch(BATCH)
    spo.release(dispatch.uids)
    assert spo.tracker.visits.sum() == 0
    assert spo.tracker.value() == pytest.approx(0.5)


def simulate(spo: SPO, fails: np.ndarray, steps: int) -> int:
    """Steps in a pool half mastered and half too hard, of which some prompts' requests always fail: how many did."""
    rng, asked = np.random.default_rng(0), 0
    for _ in range(steps):
        drawn = spo.dispatch(50)
        failed = fails[drawn.slots]
        asked += int(failed.sum())
        uids = np.array(drawn.uids)
        right = rng.random(50) < np.where(drawn.slots % 2, 0.98, 0.02)
        spo.complete(uids[~failed].tolist(), right[~failed])
        spo.release(uids[failed].tolist())
        spo.publish()
    return asked


def test_prompts_that_always_fail_are_passed_over() -> None:
    spo = SPO(SPOConfig(retention="constant"), pool_size=1000, batch_size=50)
    fails = np.arange(1000) % 20 == 0
    simulate(spo, fails, 100)
    # Five per cent of the pool, whose weight is the highest: without a rest they take a tenth of the 10,000 requests.
    assert simulate(spo, fails, 200) < 200
    assert 40 <= spo.failures.n_resting <= fails.sum()
    assert not (spo.failures.resting & ~fails).any()
    # What failed works again: all come back, if late.
    simulate(spo, np.zeros(1000, dtype=bool), 32 * 20)
    assert spo.failures.n_resting == 0


def test_a_pool_that_fails_as_a_whole_is_asked_on() -> None:
    spo = make_spo()
    for _ in range(50):
        spo.release(spo.dispatch(BATCH).uids)
        spo.publish()
    assert spo.failures.n_resting == POOL
    spo.complete(**outcomes_of(spo, spo.dispatch(BATCH).uids, 1.0))
    assert spo.sampler.called_back == BATCH
    assert spo.failures.n_resting == POOL - BATCH


@pytest.mark.parametrize("normalization", get_args(NormalizationKind))
def test_a_session_without_a_generated_token_is_neither_success_nor_failure(normalization: str) -> None:
    spo, without = make_spo(normalization=normalization), make_spo(normalization=normalization)
    uids = spo.dispatch(BATCH).uids
    assert without.dispatch(BATCH).uids == uids
    given = outcomes_of(spo, uids, np.arange(BATCH) % 2)
    silent = {**given, "lengths": np.where(np.arange(BATCH) < 2, 0, given["lengths"])}
    silent["rewards"][:2] = np.nan
    heard = spo.complete(**silent)
    assert heard.uids == uids[2:]
    assert spo.in_flight == []
    assert spo.tracker.visits.sum() == BATCH - 2
    without.release(uids[:2])
    alone = without.complete(**{name: values[2:] for name, values in given.items()})
    np.testing.assert_array_equal(heard.advantages, alone.advantages)
    np.testing.assert_equal(spo.state_dict(), without.state_dict())


@given(st.permutations(range(BATCH)))
def test_the_order_of_arrival_changes_nothing(order: list[int]) -> None:
    in_order, shuffled = make_spo(), make_spo()
    uids = in_order.dispatch(BATCH).uids
    assert shuffled.dispatch(BATCH).uids == uids
    arrived = outcomes_of(in_order, uids, np.arange(BATCH) % 2)
    mixed = {name: [values[i] for i in order] for name, values in arrived.items()}
    assert shuffled.complete(**mixed).by_uid() == in_order.complete(**arrived).by_uid()
    assert np.array_equal(shuffled.tracker.alpha, in_order.tracker.alpha)


def test_prompts_may_be_chosen_by_the_caller() -> None:
    spo = make_spo()
    drawn = spo.dispatch(slots=[3, 5])
    assert drawn.slots.tolist() == [3, 5]
    assert not {3, 5} & set(spo.dispatch(BATCH).slots.tolist())
    for wrong in ({}, {"n": 2, "slots": [1]}):
        with pytest.raises(SPOError, match="give one of them"):
            spo.dispatch(**wrong)


def test_what_a_method_does_not_need_may_be_left_out() -> None:
    spo = make_spo()
    for version in range(3):
        done = spo.complete(spo.dispatch(BATCH).uids, np.arange(BATCH) % 2)
        assert done.versions.tolist() == [version] * BATCH
        assert np.isnan(done.policy_change).all()
        assert spo.tracker.last_step[done.slots].tolist() == [version + 1] * BATCH
        spo.publish()


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"normalization": "token"}, "lengths=None: spo.normalization=token"),
        ({"retention": "kl"}, "policy_change=None: spo.retention=kl"),
        ({"baseline": "optimal"}, "squared_norms=None: spo.baseline=optimal"),
    ],
)
def test_what_a_method_needs_is_asked_for_and_nothing_is_lost(options: dict[str, str], missing: str) -> None:
    spo = make_spo(**options)
    uids = spo.dispatch(BATCH).uids
    with pytest.raises(SPOError, match=missing):
        spo.complete(uids, np.arange(BATCH) % 2)
    assert spo.in_flight == uids
    assert spo.tracker.visits.sum() == 0


def test_a_request_completes_once_and_only_if_it_was_dispatched() -> None:
    spo = make_spo()
    first, second = spo.dispatch(2).uids
    for uids, message in (([first, first], "only 1 different"), ([second, "other"], "'other' is not in flight")):
        with pytest.raises(SPOError, match=message):
            spo.complete(uids, [0.0, 1.0])
    spo.complete([second], [1.0])
    with pytest.raises(SPOError, match=f"'{second}' is not in flight"):
        spo.complete([second], [1.0])
    assert spo.in_flight == [first]


@pytest.mark.parametrize("slot", [-1, POOL])
def test_a_slot_beyond_the_pool_is_refused(slot: int) -> None:
    with pytest.raises(SPOError, match=rf"slots: {slot} is not in \[0, {POOL}\)"):
        make_spo().dispatch(slots=[0, slot])


def test_a_prompt_is_in_flight_while_any_of_its_requests_is() -> None:
    spo = make_spo()
    first, second = spo.dispatch(slots=[3, 3]).uids
    spo.complete([first], [1.0])
    resumed = make_spo()
    resumed.load_state_dict(spo.state_dict())
    for each in (spo, resumed):
        assert 3 not in each.dispatch(POOL - 1).slots
        assert each.release([second]) == 1
        assert each.dispatch(1).slots.tolist() == [3]


def test_a_stranger_is_not_released_and_nothing_changes() -> None:
    spo = make_spo()
    (known,) = spo.dispatch(1).uids
    with pytest.raises(SPOError, match="'other' is not in flight"):
        spo.release([known, "other"])
    assert spo.in_flight == [known]


@pytest.mark.parametrize("version", [-1, 1])
def test_a_policy_version_that_was_not_published_is_refused(version: int) -> None:
    spo = make_spo(retention="event", baseline="optimal")
    uids = spo.dispatch(2).uids
    before = spo.state_dict()
    with pytest.raises(SPOError, match="there were 0 publications"):
        spo.complete(uids, [0.0, 1.0], versions=[0, version], squared_norms=[1.0, 2.0])
    np.testing.assert_equal(spo.state_dict(), before)


def test_a_tracker_of_another_size_is_refused() -> None:
    with pytest.raises(SPOError, match="pool_size=40: the tracker has 4 prompts"):
        SPO(SPOConfig(), pool_size=POOL, batch_size=BATCH, tracker=ValueTracker.from_value(4))


def test_an_array_of_another_length_is_refused() -> None:
    spo = make_spo()
    with pytest.raises(SPOError, match=r"rewards: shape \(2,\), but there are 3 uids"):
        spo.complete(spo.dispatch(3).uids, [0.0, 1.0])


def test_a_bad_reward_names_the_prompt() -> None:
    spo = make_spo()
    dispatch = spo.dispatch(2)
    with pytest.raises(RewardError, match=rf"reward=7 for prompt prompt {dispatch.slots[1]}: .*spo.reward_high"):
        spo.complete(**outcomes_of(spo, dispatch.uids, [0.0, 7.0]))


def test_rewards_out_of_range_are_clipped_and_marked_where_the_option_says_so() -> None:
    spo = make_spo(reward_out_of_range="clip", reward_low=-1)
    dispatch = spo.dispatch(4)
    completion = spo.complete(**outcomes_of(spo, dispatch.uids, [-1.5, 0.0, 1.0, 7.0]))
    assert completion.rewards.tolist() == [0.0, 0.5, 1.0, 1.0]
    assert completion.clipped.tolist() == [True, False, False, True]


def test_advantages_over_the_optimal_baseline_are_centred_by_squared_norm() -> None:
    spo = make_spo(baseline="optimal")
    outcomes = outcomes_of(spo, spo.dispatch(BATCH).uids, np.arange(BATCH) % 2)
    completion = spo.complete(**outcomes)
    assert (outcomes["squared_norms"] * completion.advantages).sum() == pytest.approx(0, abs=1e-9)
    assert abs(completion.advantages.mean()) > 0.01


def test_the_parts_of_a_step_share_one_centre_and_one_scale() -> None:
    spo, rng = make_spo(in_parts=True), np.random.default_rng(0)
    train_step(spo, rng)
    uids = spo.dispatch(BATCH).uids
    # What comes back first is all right but one, the rest all wrong but one.
    rewards = np.repeat([1.0, 0.0], BATCH // 2)
    rewards[[0, -1]] = 0.0, 1.0
    halves = (slice(BATCH // 2), slice(BATCH // 2, BATCH))
    step = Completion.joined([spo.complete(uids[half], rewards[half]) for half in halves])
    slope, intercept = np.polyfit(step.raw_advantages, step.advantages, 1)
    assert step.advantages == pytest.approx(slope * step.raw_advantages + intercept)
    assert slope > 1


REMEMBERING: tuple[dict[str, Any], ...] = ({"baseline": "optimal"}, {"in_parts": True}, {"sampling": "even"})


@pytest.mark.parametrize("options", [*({"retention": kind} for kind in get_args(RetentionKind)), *REMEMBERING])
def test_a_loaded_state_continues_bit_for_bit(options: dict[str, Any]) -> None:
    whole, rng = make_spo(**options), np.random.default_rng(0)
    for _ in range(4):
        train_step(whole, rng)
    for _ in range(2):
        whole.release(whole.dispatch(slots=[7, 9]).uids)
    assert whole.failures.n_resting == 2
    late = whole.dispatch(3)
    whole.previous.put(5, Response(*(np.arange(2, dtype=kind) for kind in (np.int32, np.int32, bool, np.float32))))
    resumed = make_spo(**options)
    resumed.load_state_dict(whole.state_dict())
    assert resumed.in_flight == late.uids
    for spo in (whole, resumed):
        spo.complete(**outcomes_of(spo, late.uids, 1.0), versions=np.full(3, 2))
        spo.publish(0.01)
    rngs = [np.random.default_rng(1), np.random.default_rng(1)]
    for _ in range(6):
        ours, theirs = train_step(whole, rngs[0]), train_step(resumed, rngs[1])
        assert ours.uids == theirs.uids
        assert np.array_equal(ours.advantages, theirs.advantages)
    np.testing.assert_equal(resumed.state_dict(), whole.state_dict())
    assert np.array_equal(whole.histogram.counts, resumed.histogram.counts)


def test_a_state_of_another_shape_is_refused_with_both_named() -> None:
    state = make_spo().state_dict()
    small = SPO(SPOConfig(retention="constant"), pool_size=3, batch_size=2)
    with pytest.raises(CheckpointError, match=r"40.*3"):
        small.load_state_dict(state)
    without = {name: value for name, value in state.items() if name != "sampler"}
    with pytest.raises(CheckpointError, match="sampler"):
        make_spo().load_state_dict(without)


def test_joined_completions_keep_their_order() -> None:
    spo, rng = make_spo(), np.random.default_rng(0)
    parts = [train_step(spo, rng), train_step(spo, rng)]
    joined = Completion.joined(parts)
    assert joined.uids == parts[0].uids + parts[1].uids
    assert np.array_equal(joined.slots[BATCH:], parts[1].slots)


def test_the_library_needs_no_trainer_and_no_database() -> None:
    code = "import sys, verl_spo; verl_spo.SPO; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"verl", "torch", "sqlalchemy", "streamlit", "ray", "pyarrow", "omegaconf"} & set(loaded)
