"""Who may be alive."""

import multiprocessing
import os

import pytest

from verl_spo.store.runs import owners


def test_a_writer_of_this_process_lives_until_it_is_released() -> None:
    owner = owners.new_owner()
    assert owners.is_alive(owner, heartbeat_at=0.0)
    owners.release(owner)
    assert not owners.is_alive(owner, heartbeat_at=1e12)


def _name(queue: "multiprocessing.Queue[str]") -> None:
    queue.put(owners.new_owner())


@pytest.mark.slow
def test_another_process_of_this_machine_lives_as_long_as_it_does() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_name, args=(queue,))
    child.start()
    owner = queue.get()
    child.join()
    assert not owners.is_alive(owner, heartbeat_at=0.0)


def test_a_process_number_that_is_used_again_is_another_process() -> None:
    host, namespace, _, _, token = owners.new_owner().split(":")
    parent = os.getppid()
    start = owners._start_of(parent)
    assert owners.is_alive(f"{host}:{namespace}:{parent}:{start}:{token}", heartbeat_at=0.0)
    other = f"{host}:{namespace}:{parent}:{start}0:{token}"
    assert not owners.is_alive(other, heartbeat_at=0.0)


def test_a_clock_that_was_set_does_not_end_a_process_that_gives_signs_of_life() -> None:
    host, namespace, _, _, token = owners.new_owner().split(":")
    assert owners.is_alive(f"{host}:{namespace}:{os.getppid()}:1.00:{token}", heartbeat_at=1e9, now=1e9 + 5)


@pytest.mark.parametrize(("age", "alive"), [(0.0, True), (29.0, True), (31.0, False), (-29.0, True), (-3600.0, False)])
def test_another_machine_is_believed_for_a_lease_on_both_sides_of_now(age: float, alive: bool) -> None:
    assert owners.is_alive("elsewhere:1:2:3:4", heartbeat_at=1e9 - age, now=1e9) is alive


@pytest.mark.parametrize("owner", ["", "host", "::::", "a:b:c"])
def test_an_owner_that_is_not_understood_is_judged_by_its_sign_of_life(owner: str) -> None:
    assert owners.is_alive(owner, heartbeat_at=1e9, now=1e9)
    assert not owners.is_alive(owner, heartbeat_at=0.0, now=1e9)


def test_an_owner_is_described_for_people() -> None:
    assert owners.describe("node-1:4026531836:77:1:ab") == "process 77 on node-1"
