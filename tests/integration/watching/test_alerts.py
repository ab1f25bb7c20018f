"""Alerts of stored runs, on both databases: none of a healthy one, and of each failure its own and no other."""

import math
import time
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.support.plausible import PlausibleRun
from tests.support.stores import Training, start
from tests.support.watched import BEGAN_AT, STEP_S, Story, after
from verl_spo.store import Reader, open_reader, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs.status import Status
from verl_spo.watching import AlertName, AlertRules, alerts
from verl_spo.watching.look import RECENT_STEPS, SKETCH_WINDOWS, _sketched_steps

RULES = AlertRules()


def found(url: str, now: float | None = None, rules: AlertRules = RULES, name: str = "demo/spo") -> list[AlertName]:
    with open_reader(url) as reader:
        run = queries.run(reader, name)
        last = queries.step_summaries(reader, run.run.id, run.run.last_step - 1)
        moment = now if now is not None else (last[-1].time if last else BEGAN_AT)
        return [alert.name for alert in alerts(reader, run, rules, moment)]


def as_if_begun_at(url: str, moment: float) -> None:
    """The present attempt's start, which the writer takes from the clock."""
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE attempts SET started_at = :moment"), {"moment": moment})
    engine.dispose()


@pytest.mark.parametrize("status", [Status.RUNNING, Status.FINISHED, Status.STOPPED])
def test_a_healthy_run_has_none(database_url: str, status: Status) -> None:
    writer = Story().write(database_url)
    as_if_begun_at(database_url, BEGAN_AT)
    if status != Status.RUNNING:
        writer.close(status)
    assert found(database_url, BEGAN_AT + 60 * STEP_S + 100) == []
    writer.close(Status.FINISHED)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_learns_has_none_at_any_step(sqlite_url: str, seed: int) -> None:
    with PlausibleRun(sqlite_url, seed=seed) as run:
        for _ in range(24):
            run.train(8)
            assert found(sqlite_url, name="arithmetic-spo") == []
    assert found(sqlite_url, name="arithmetic-spo") == []


WRONG = {
    AlertName.REWARD_COLLAPSE: Story(reward=after(30, 0.05, 0.6)),
    AlertName.ENTROPY_COLLAPSE: Story(entropy=lambda step: 0.5 * math.exp(-step / 8)),
    AlertName.FAILING_REQUESTS: Story(failed=after(30, 3, 0)),
    AlertName.WRITER_BEHIND: Story(queue=after(50, 70, 2)),
    AlertName.DISK_NEARLY_FULL: Story(free=lambda step: 64 - step),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_failure_raises_its_alert_and_no_other(database_url: str, name: AlertName) -> None:
    writer = WRONG[name].write(database_url)
    as_if_begun_at(database_url, BEGAN_AT)
    assert found(database_url) == [name]
    writer.close(Status.FINISHED)


@pytest.mark.parametrize("name", WRONG)
def test_a_run_that_has_ended_is_judged_by_what_it_learned(sqlite_url: str, name: AlertName) -> None:
    WRONG[name].train(sqlite_url)
    ended = [] if name in (AlertName.WRITER_BEHIND, AlertName.DISK_NEARLY_FULL) else [name]
    assert found(sqlite_url) == ended


def test_a_stalled_step_is_told_and_ends_with_the_next_step(database_url: str) -> None:
    writer = Story().write(database_url)
    as_if_begun_at(database_url, BEGAN_AT)
    last = BEGAN_AT + 60 * STEP_S
    assert found(database_url, last + 600) == []
    assert found(database_url, last + 601) == [AlertName.STALLED]
    assert found(database_url, last + 601, AlertRules(stall_least_s=3600)) == []
    as_if_begun_at(database_url, last + 500)
    assert found(database_url, last + 601) == []
    writer.close(Status.FINISHED)
    assert found(database_url, last + 10**6) == []


def test_a_lost_run_is_lost_and_not_stalled(database_url: str) -> None:
    Story().train(database_url)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE runs SET status = 'running', heartbeat_at = :at"), {"at": time.time() - 600})
    engine.dispose()
    assert found(database_url, BEGAN_AT + 10**6) == [AlertName.LOST]


@pytest.mark.parametrize("steps", [0, 60])
def test_a_failed_run_has_failed_whether_it_has_steps_or_not(database_url: str, steps: int) -> None:
    Story(steps=steps).train(database_url, status=Status.FAILED)
    assert found(database_url) == [AlertName.FAILED]


def test_a_run_without_a_step_has_none(database_url: str) -> None:
    writer = start(database_url, Training())
    assert found(database_url, BEGAN_AT + 10**6) == []
    writer.close(Status.FINISHED)
    assert found(database_url, BEGAN_AT + 10**6) == []


def test_several_come_worst_first(sqlite_url: str) -> None:
    writer = Story(reward=after(30, 0.05, 0.6), failed=after(30, 3, 0), free=after(50, 1, 64)).write(sqlite_url)
    wanted = [AlertName.REWARD_COLLAPSE, AlertName.DISK_NEARLY_FULL, AlertName.FAILING_REQUESTS]
    as_if_begun_at(sqlite_url, BEGAN_AT)
    assert found(sqlite_url) == wanted
    writer.close(Status.FINISHED)


def test_what_a_resume_has_superseded_raises_nothing(database_url: str) -> None:
    Story(reward=after(30, 0.05, 0.6)).train(database_url)
    training = Training()
    for _ in range(30):
        training.advance()
    writer = start(database_url, training, resume_step=30)
    assert found(database_url) == []
    writer.close(Status.FINISHED)


def test_the_bound_of_the_queue_is_the_runs_own(sqlite_url: str) -> None:
    config = {"spo": {"store": {"queue_steps": 4}}}
    writer = Story().write(sqlite_url, config=config)
    as_if_begun_at(sqlite_url, BEGAN_AT)
    assert found(sqlite_url) == [AlertName.WRITER_BEHIND]
    writer.close(Status.FINISHED)


def test_a_best_reward_of_long_ago_is_remembered(sqlite_url: str) -> None:
    Story(steps=1500, reward=lambda step: 0.9 if step < 400 else 0.2).train(sqlite_url)
    assert found(sqlite_url) == [AlertName.REWARD_COLLAPSE]


@pytest.mark.parametrize("steps", [200, 2000])
def test_reading_is_bounded_however_long_the_run(sqlite_url: str, steps: int) -> None:
    Story(steps=steps).train(sqlite_url)
    with open_reader(sqlite_url) as reader:
        assert _rows_read(reader) <= 3 * RECENT_STEPS + RECENT_STEPS + 2 * SKETCH_WINDOWS * RULES.reward_window + 100


def _rows_read(reader: Reader) -> int:
    """Rows that the alerts of a run fetch."""
    run, rows = queries.run(reader, "demo/spo"), 0

    def count(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        nonlocal rows
        if not statement.startswith("SELECT"):
            return
        again = connection.connection.driver_connection.execute(statement, parameters)
        rows += len(again.fetchall())

    event.listen(reader._engine, "before_cursor_execute", count)
    alerts(reader, run, RULES, BEGAN_AT)
    event.remove(reader._engine, "before_cursor_execute", count)
    return rows


@pytest.mark.parametrize(("before", "last"), [(0, 0), (0, 19), (0, 20), (100, 139), (0, 640), (0, 10**7)])
def test_the_sketch_is_whole_windows_within_the_steps(before: int, last: int) -> None:
    steps = _sketched_steps(before, last, 20)
    assert len(steps) % 20 == 0
    assert len(steps) <= 2 * SKETCH_WINDOWS * 20 + 20
    assert all(before < step <= last for step in steps)


def test_the_sketch_of_a_longer_run_keeps_what_it_had_until_it_is_halved() -> None:
    earlier, later, halved = (_sketched_steps(0, 20 * windows, 20) for windows in (70, 100, 200))
    assert set(earlier) <= set(later)
    assert set(halved) & set(later)
