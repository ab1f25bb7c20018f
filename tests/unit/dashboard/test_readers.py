"""The more readers, the rarer each looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo_dashboard.readers import AT_FULL_PACE, RAREST, Readers


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("readers", "times"), [(1, 1), (5, 1), (6, 2), (10, 2), (11, 4), (20, 4), (21, 8), (500, 16)])
def test_the_pace_depends_on_how_many_look(readers: int, times: int) -> None:
    seen = Readers(Clock())
    for number in range(readers):
        last = seen.pace(str(number), 2.0)
    assert last == 2.0 * times


def test_one_that_looks_often_counts_once() -> None:
    seen = Readers(Clock())
    assert {seen.pace("a", 2.0) for _ in range(100)} == {2.0}


def test_a_closed_tab_is_forgotten_after_three_looks() -> None:
    clock = Clock()
    seen = Readers(clock)
    for number in range(AT_FULL_PACE + 1):
        seen.pace(str(number), 2.0)
    clock.now = 5.9
    assert seen.pace("0", 2.0) == 4.0
    # The last of them was to look after 4 s, and has 12.
    clock.now = 12.1
    assert seen.pace("0", 2.0) == 2.0


@given(st.integers(1, 400), st.floats(0.1, 60))
def test_the_server_never_has_more_looks_a_second_than_of_readers_at_full_pace(readers: int, alone: float) -> None:
    seen = Readers(Clock())
    for number in range(readers):
        wait = seen.pace(str(number), alone)
    if wait < alone * RAREST:
        assert readers / wait <= AT_FULL_PACE / alone * (1 + 1e-9)
