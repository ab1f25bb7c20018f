"""What readers keep."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from verl_spo.store.database.kept import Kept


def test_a_value_is_renewed_from_the_one_before() -> None:
    kept = Kept(2)
    assert [kept.renewed("a", lambda known: (known or 0) + 1) for _ in range(3)] == [1, 2, 3]


def test_those_used_longest_ago_go_first() -> None:
    kept = Kept(2)
    for key in ("a", "b", "a", "c"):
        kept.renewed(key, lambda known: (known or 0) + 1)
    assert kept.renewed("a", lambda known: known) == 2
    assert kept.renewed("b", lambda known: known) is None


def test_threads_that_want_the_same_value_make_it_once() -> None:
    kept, made = Kept(2), []
    all_there = threading.Barrier(4)

    def make(known: str | None) -> str:
        if known is None:
            made.append(threading.get_ident())
        return known or "value"

    def ask() -> str:
        all_there.wait(10)
        found: str = kept.renewed("a", make)
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [task.result() for task in [pool.submit(ask) for _ in range(4)]]
    assert found == ["value"] * 4
    assert len(made) == 1


def test_nobody_waits_for_another_value() -> None:
    kept = Kept(2)
    slow_begins, slow_may_end = threading.Event(), threading.Event()

    def slow(_: None) -> str:
        slow_begins.set()
        assert slow_may_end.wait(10)
        return "slow"

    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(kept.renewed, "a", slow)
        assert slow_begins.wait(10)
        assert kept.renewed("b", lambda _: "quick") == "quick"
        slow_may_end.set()
        assert task.result() == "slow"


def test_what_failed_is_tried_again() -> None:
    kept = Kept(1)

    def fail(_: None) -> str:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        kept.renewed("a", fail)
    assert kept.renewed("a", lambda known: known or "there") == "there"
