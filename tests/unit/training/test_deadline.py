"""Calls that may never return."""

from threading import Event

import pytest

from verl_spo.training.deadline import DeadlineError, within


def test_the_result_comes_back() -> None:
    assert within(60, "an.option", "work", lambda: 7) == 7


def test_an_error_comes_back_as_itself() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        within(60, "an.option", "work", fail)


def test_a_call_that_hangs_is_an_error_that_names_its_option() -> None:
    never = Event()
    with pytest.raises(DeadlineError, match=r"weight sync: no answer within spo.weight_sync_timeout_s=0.01 s"):
        within(0.01, "spo.weight_sync_timeout_s", "weight sync", never.wait)
    never.set()
