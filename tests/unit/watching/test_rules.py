"""Each rule on series of its own: quiet while all is well, however noisy, and loud when it is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.watching import Alert, AlertName, AlertRules, Severity, rules

LIMITS = AlertRules()
SEEDS = st.integers(0, 2**32 - 1)


def steps(count: int, first: int = 1) -> np.ndarray:
    return np.arange(first, first + count)


def noisy_rewards(seed: int, chance: np.ndarray, batch: int) -> np.ndarray:
    """Mean reward of each step: so many trajectories, of which each is right by chance."""
    return np.random.default_rng(seed).binomial(batch, chance) / batch


# ---------------------------------------------------------------- reward


@given(SEEDS, st.sampled_from([8, 32, 128]), st.floats(0.01, 0.6), st.floats(0.0, 0.35))
def test_a_reward_that_rises_or_stays_is_no_collapse(seed: int, batch: int, start: float, gain: float) -> None:
    rewards = noisy_rewards(seed, np.linspace(start, start + gain, 300), batch)
    found = [rules.reward_collapse(steps(n), rewards[:n], LIMITS) for n in range(1, 301, 7)]
    assert found == [None] * len(found)


@given(SEEDS, st.sampled_from([32, 128]), st.floats(0.3, 0.9))
def test_a_reward_that_loses_most_of_its_best_is_a_collapse(seed: int, batch: int, best: float) -> None:
    chance = np.concatenate([np.linspace(best / 2, best, 100), np.full(60, best / 10)])
    alert = rules.reward_collapse(steps(160), noisy_rewards(seed, chance, batch), LIMITS)
    assert alert is not None
    assert (alert.name, alert.severity) == (AlertName.REWARD_COLLAPSE, Severity.CRITICAL)
    assert alert.since_step is not None
    assert 100 < alert.since_step <= 125


def test_the_message_has_the_figures_and_the_limit() -> None:
    rewards = np.repeat([0.6, 0.12], 40)
    alert = rules.reward_collapse(steps(80), rewards, LIMITS)
    assert alert is not None
    assert alert.message.startswith(
        "The mean reward of the last 20 steps is 0.120, 80% below the best such mean, 0.600 at step 40; the limit is "
        "50% (reward_drop)."
    )


def test_the_best_may_be_long_ago() -> None:
    at = np.concatenate([steps(20), steps(100, 5001)])
    rewards = np.repeat([0.8, 0.2], [20, 100])
    alert = rules.reward_collapse(at, rewards, LIMITS)
    assert alert is not None
    assert alert.since_step == 5020
    # A window never reaches across the steps that are left out.
    assert rules.reward_collapse(at[10:50], rewards[10:50], LIMITS) is None


def test_a_small_fall_is_none_and_a_stricter_limit_sees_it() -> None:
    rewards = np.repeat([0.6, 0.45], 40)
    assert rules.reward_collapse(steps(80), rewards, LIMITS) is None
    assert rules.reward_collapse(steps(80), rewards, AlertRules(reward_drop=0.2)) is not None


def test_a_collapse_that_is_over_is_none() -> None:
    rewards = np.repeat([0.6, 0.1, 0.6], 50)
    assert rules.reward_collapse(steps(100), rewards[:100], LIMITS) is not None
    assert rules.reward_collapse(steps(150), rewards, LIMITS) is None


def test_an_alert_does_not_come_and_go_at_the_limit() -> None:
    wave = np.linspace(0.31, 0.29, 200) + 0.1 * np.sin(np.arange(200))
    rewards = np.concatenate([np.full(40, 0.6), wave])
    means = np.convolve(rewards, np.full(20, 0.05), "valid")
    raised = [rules.reward_collapse(steps(n), rewards[:n], LIMITS) is not None for n in range(60, 241)]
    assert np.count_nonzero(np.diff(means[40:] < 0.3)) > 5
    assert np.count_nonzero(np.diff(raised)) == 1


def test_no_reward_at_all_is_none() -> None:
    assert rules.reward_collapse(steps(50), np.zeros(50), LIMITS) is None
    assert rules.reward_collapse(steps(0), np.zeros(0), LIMITS) is None


# ---------------------------------------------------------------- entropy


@given(SEEDS, st.floats(0.05, 2.0), st.floats(0.1, 1.0))
def test_an_entropy_that_falls_to_a_tenth_is_no_collapse(seed: int, start: float, left: float) -> None:
    rng = np.random.default_rng(seed)
    values = start * np.linspace(1, left, 250) * rng.uniform(0.8, 1.2, 250)
    assert rules.entropy_collapse(steps(250), values, float(values[:20].mean()), LIMITS) is None


@given(SEEDS, st.floats(0.05, 2.0))
def test_an_entropy_that_vanishes_is_a_collapse(seed: int, start: float) -> None:
    rng = np.random.default_rng(seed)
    values = start * np.exp(-np.arange(300) / 40) * rng.uniform(0.8, 1.2, 300)
    alert = rules.entropy_collapse(steps(300), values, float(values[:20].mean()), LIMITS)
    assert alert is not None
    assert alert.name == AlertName.ENTROPY_COLLAPSE
    assert alert.since_step is not None
    assert 80 < alert.since_step < 200


def test_an_entropy_below_the_floor_is_a_collapse_wherever_it_began() -> None:
    alert = rules.entropy_collapse(steps(30), np.full(30, 0.0005), 0.0005, LIMITS)
    assert alert is not None
    assert "0.0005 nats per token; it began with 0.0005, and the limit is 0.0010" in alert.message
    assert rules.entropy_collapse(steps(30), np.full(30, 0.0005), 0.0005, AlertRules(entropy_floor=0)) is None


# ---------------------------------------------------------------- failures


@given(SEEDS, st.sampled_from([32, 128]), st.floats(0, 0.08))
def test_a_few_failures_throughout_are_none(seed: int, batch: int, share: float) -> None:
    failed = np.random.default_rng(seed).binomial(batch, share, 200).astype(float)
    requests, start = np.full(200, float(batch)), failed[:20].sum() / (20 * batch)
    assert rules.failing_requests(steps(200), failed, requests, start, LIMITS) is None


@given(SEEDS, st.sampled_from([8, 32, 128]), st.floats(0.3, 0.9))
def test_many_failures_are_told(seed: int, batch: int, share: float) -> None:
    chance = np.repeat([0.01, share], [60, 40])
    failed = np.random.default_rng(seed).binomial(batch, chance).astype(float)
    alert = rules.failing_requests(steps(100), failed, np.full(100, float(batch)), 0.01, LIMITS)
    assert alert is not None
    assert alert.since_step is not None
    assert 60 < alert.since_step <= 85


def test_failures_that_have_always_been_many_are_told_too() -> None:
    alert = rules.failing_requests(steps(30), np.full(30, 4.0), np.full(30, 10.0), 0.4, LIMITS)
    assert alert is not None
    assert (
        "40.0% of the requests of the last 20 steps brought no trajectory, and 40.0% of the first 20" in alert.message
    )
    assert rules.failing_requests(steps(30), np.full(30, 2.0), np.full(30, 10.0), 0.2, LIMITS) is None


# ---------------------------------------------------------------- time


@given(SEEDS, st.floats(0.1, 600.0))
def test_a_step_that_takes_somewhat_longer_is_no_stall(seed: int, usual: float) -> None:
    times = np.cumsum(np.random.default_rng(seed).uniform(0.5 * usual, 2 * usual, 100))
    assert rules.stalled(steps(100), times, 0.0, times[-1] + 4 * usual, LIMITS) is None


def test_a_step_that_takes_much_longer_is_a_stall_and_names_the_last_one() -> None:
    times = 100.0 * steps(50)
    assert rules.stalled(steps(50), times, 0.0, 5000 + 1000, LIMITS) is None
    alert = rules.stalled(steps(50), times, 0.0, 5000 + 1001, LIMITS)
    assert alert is not None
    assert (alert.name, alert.severity, alert.since_step) == (AlertName.STALLED, Severity.CRITICAL, 50)
    assert alert.message.startswith("Step 50 ended 1,001 s ago and none since; a step usually takes 100.0 s")


def test_fast_steps_have_the_least_time_and_few_steps_no_verdict() -> None:
    assert rules.stalled(steps(50), 0.5 * steps(50), 0.0, 25 + 600, LIMITS) is None
    assert rules.stalled(steps(50), 0.5 * steps(50), 0.0, 25 + 601, LIMITS) is not None
    assert rules.stalled(steps(2), 0.5 * steps(2), 0.0, 1e6, LIMITS) is None


def test_a_resumed_attempt_is_given_its_time() -> None:
    assert rules.stalled(steps(50), 100.0 * steps(50), 90_000.0, 90_900.0, LIMITS) is None


# ---------------------------------------------------------------- the writer


@given(st.lists(st.integers(0, 31), min_size=1, max_size=50), st.integers(1, 4))
def test_a_queue_with_room_or_full_for_a_moment_is_none(depths: list[int], peak: int) -> None:
    values = np.array([*depths, *[300] * peak], dtype=float)
    assert rules.writer_behind(steps(values.size), values, 64, LIMITS) is None


def test_a_queue_that_stays_full_is_told_since_when() -> None:
    values = np.array([2, 40, 3, 33, 34, 60, 120, 128], dtype=float)
    alert = rules.writer_behind(steps(8), values, 64, LIMITS)
    assert alert is not None
    assert (alert.name, alert.since_step) == (AlertName.WRITER_BEHIND, 4)
    assert "At least 33 records" in alert.message
    assert "the limit is 32, 50% (queue_share) of spo.store.queue_steps=64" in alert.message


# ---------------------------------------------------------------- the disk


@given(st.lists(st.floats(100, 200), max_size=50))
def test_a_disk_with_room_for_what_a_step_takes_is_none(free: list[float]) -> None:
    assert rules.disk_nearly_full(steps(len(free)), np.array(free), LIMITS) is None


def test_a_disk_below_the_limit_is_told_since_when() -> None:
    alert = rules.disk_nearly_full(steps(5), np.array([9.0, 8.0, 4.9, 4.5, 4.0]), LIMITS)
    assert alert is not None
    assert (alert.name, alert.severity, alert.since_step) == (AlertName.DISK_NEARLY_FULL, Severity.CRITICAL, 3)


def test_a_disk_without_room_for_another_checkpoint_is_told() -> None:
    free = np.array([300.0, 200.0, 199.0, 98.0])
    alert = rules.disk_nearly_full(steps(4), free, LIMITS)
    assert alert is not None
    assert "98.0 GiB are free" in alert.message
    assert "the limit is 101.0 GiB" in alert.message
    assert rules.disk_nearly_full(steps(4), free, AlertRules(disk_writes=0)) is None


def every(alerts: list[Alert | None]) -> list[Alert]:
    return [alert for alert in alerts if alert is not None]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_before_the_windows_are_full_no_rule_says_anything_but_the_disks(count: int) -> None:
    at, low, high = steps(count), np.zeros(count), np.full(count, 1e6)
    found = [
        rules.reward_collapse(at, low, LIMITS),
        rules.entropy_collapse(at, low, 1.0, LIMITS),
        rules.failing_requests(at, high, high, 0.0, LIMITS),
        rules.writer_behind(at, high, 64, LIMITS),
        rules.disk_nearly_full(at, high, LIMITS),
    ]
    assert every(found) == []
