from dataclasses import replace

import pytest

from verl_spo.store.queries import RunRow
from verl_spo_dashboard.wording import NOTHING, counted, duration, number, running_time

RUN = RunRow(1, "run", "u", "running", 1, 1000.0, 1500.0, None, 3, 0.0, 8, 0, ())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (11_045, "3 h 4 min"),
        (86_400 + 61, "1 d"),
        (2 * 86_400 + 7 * 3600, "2 d 7 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_number_that_is_none_is_a_dash() -> None:
    assert [number(0.12345), number(2.0, 1), number(None), number(float("nan")), number(float("inf"))] == [
        "0.123", "2.0", NOTHING, NOTHING, NOTHING,
    ]  # fmt: skip


def test_a_run_takes_time_until_it_ends_or_was_last_heard_of() -> None:
    assert running_time(RUN, now=1060) == "1 min"
    assert running_time(replace(RUN, status="finished", ended_at=1120.0), now=9999) == "2 min"
    assert running_time(replace(RUN, status="lost"), now=9999) == "8 min 20 s"


def test_one_is_singular() -> None:
    assert [counted(count, "run") for count in (0, 1, 1024)] == ["0 runs", "1 run", "1,024 runs"]
