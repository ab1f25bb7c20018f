"""Prompts whose requests keep failing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.core.failures import Failures
from verl_spo.errors import CheckpointError

POOL, BATCH = 12, 4
# Publications in which the pool could be visited once.
ONCE = 3


def slots(*which: int) -> np.ndarray:
    return np.array(which, dtype=np.int64)


def rest_of(failures: Failures, slot: int, now: int) -> int:
    """How long a prompt rests after a failure now."""
    failures.note(slots(slot), now)
    published = now
    while failures.resting[slot]:
        published += 1
        failures.wake(published)
    return published - now


def test_rests_begin_with_the_second_failure_in_a_row_and_double() -> None:
    failures, now, rests = Failures(POOL, BATCH), 0, []
    for _ in range(9):
        rests.append(rest_of(failures, 5, now))
        now += rests[-1] + 1
    assert rests == [0, *(ONCE * factor for factor in (1, 2, 4, 8, 16, 32, 32, 32))]


def test_a_success_makes_all_good() -> None:
    failures = Failures(POOL, BATCH)
    for _ in range(3):
        failures.note(slots(1, 2), now=0)
    failures.clear(slots(2))
    assert np.flatnonzero(failures.resting).tolist() == [1]
    assert failures.n_resting == 1
    assert rest_of(failures, 2, now=0) == 0


def test_a_prompt_that_was_called_back_and_failed_rests_longer() -> None:
    failures = Failures(POOL, BATCH)
    failures.note(slots(7, 7), now=10)
    failures.note(slots(7), now=11)
    assert failures.n_resting == 1
    failures.wake(10 + 2 * ONCE)
    assert failures.resting[7]
    failures.wake(11 + 2 * ONCE)
    assert not failures.resting.any()
    assert failures.n_resting == 0


events = st.lists(
    st.tuples(st.sampled_from(["note", "clear", "wake"]), st.lists(st.integers(0, POOL - 1))), max_size=30
)


@given(events, events)
def test_a_restored_state_continues_and_what_rests_is_counted(before, after) -> None:
    def play(failures: Failures, given: list, now: int) -> None:
        for number, (event, chosen) in enumerate(given):
            match event:
                case "note":
                    failures.note(slots(*chosen), now + number)
                case "clear":
                    failures.clear(slots(*chosen))
                case "wake":
                    failures.wake(now + number)

    whole, resumed = Failures(POOL, BATCH), Failures(POOL, BATCH)
    play(whole, before, 0)
    resumed.load_state_dict(whole.state_dict())
    for failures in (whole, resumed):
        play(failures, after, len(before))
    np.testing.assert_array_equal(whole.resting, resumed.resting)
    np.testing.assert_equal(whole.state_dict(), resumed.state_dict())
    assert whole.n_resting == whole.resting.sum()


def test_a_state_of_another_pool_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"failures: the checkpoint has in_a_row of shape \(13,\)"):
        Failures(POOL, BATCH).load_state_dict(Failures(POOL + 1, BATCH).state_dict())
