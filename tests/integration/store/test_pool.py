"""A run's pool in a reader's memory: as in the database, whatever happens to the run, and read by what is new."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, update

from tests.support.stores import BATCH, POOL, Training, info, trained, writing
from verl_spo.store import Reader, RunWriter, open_reader, queries, tracker
from verl_spo.store.database.connections import check_writable, open_engine
from verl_spo.store.queries import Movement, PromptFilter, pool, prompt_filters
from verl_spo.store.queries.pool import Mask, Pool, pool_of
from verl_spo.store.records import Observations
from verl_spo.store.runs import manage
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Run, TrackerState


@pytest.fixture
def training() -> Training:
    """A run that has not begun."""
    return Training()


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    """A reader that stays, from before there is a run."""
    check_writable(database_url)
    with open_reader(database_url) as opened:
        yield opened


def read(reader: Reader, run_id: int = 1) -> Pool:
    with reader.connect(snapshot=True) as connection:
        return pool_of(reader, connection, run_id)


def assert_follows(reader: Reader, training: Training) -> None:
    """What the reader has is what the trainer has."""
    found = read(reader)
    for name in ("alpha", "beta", "z", "visits", "last_step"):
        np.testing.assert_array_equal(getattr(found, name), getattr(training.tracker, name))


def forbid_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nobody reads a whole pool."""

    def refuse(*_: object) -> None:
        raise AssertionError("read as a whole")

    monkeypatch.setattr(tracker, "read_rows", refuse)


def submit(writer: RunWriter, training: Training, steps: int = 1) -> None:
    """Train on, and wait until it is in the database."""
    for _ in range(steps):
        writer.submit(training.advance())
        writer.log(training.step, {"actor/loss": 1.0})
    writer.flush()


def test_a_run_that_trains_is_followed_by_what_it_observes(
    database_url: str, reader: Reader, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(database_url, training) as writer:
        assert_follows(reader, training)
        submit(writer, training)
        assert_follows(reader, training)
        forbid_whole(monkeypatch)
        for steps in (1, 1, 3):
            before = read(reader)
            submit(writer, training, steps)
            assert_follows(reader, training)
            # A page that another thread draws goes on with what it has.
            assert before.last_step.max() == training.step - steps
        last = read(reader)
        writer.log(training.step, {"actor/loss": 2.0})
        writer.flush()
        # Metrics change no prompt.
        assert read(reader) is last


def test_whoever_was_away_for_long_reads_the_pool_as_a_whole(
    database_url: str, reader: Reader, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(database_url, training) as writer:
        submit(writer, training)
        read(reader)
        submit(writer, training, POOL // BATCH + 1)
        monkeypatch.setattr(pool, "_followed", None)
        assert_follows(reader, training)


def test_the_first_record_may_change_all_prompts(database_url: str, reader: Reader, training: Training) -> None:
    """Initial rollouts give values to a pool that is in the database already."""
    with writing(database_url, training) as writer:
        before = read(reader)
        training.tracker.alpha[:] = np.linspace(0.5, 3, POOL)
        beginning = Training().advance()
        none = {f.name: [] for f in fields(Observations) if f.default is MISSING and f.default_factory is MISSING}
        writer.submit(replace(beginning, step=0, observations=Observations(**none), tracker=training.rows()))
        writer.flush()
        assert before.stand.step is None
        assert_follows(reader, training)


def test_a_resumed_run_is_read_anew(database_url: str, reader: Reader, training: Training) -> None:
    with writing(database_url, training) as writer:
        submit(writer, training, 2)
        kept = Training()
        kept.advance()
        submit(writer, training, 2)
        assert_follows(reader, training)
    with writing(database_url, kept, resume_step=1) as writer:
        assert_follows(reader, kept)
        submit(writer, kept)
        assert_follows(reader, kept)


def test_another_run_of_the_same_number_is_read_anew(database_url: str, reader: Reader, training: Training) -> None:
    trained(database_url, steps=2)
    read(reader)
    engine = open_engine(database_url)
    manage.delete_run(engine, "demo/spo")
    other = trained(database_url, steps=3, run=info("demo/other", "b" * 32))
    found = queries.run(reader, "demo/other").run.id
    np.testing.assert_array_equal(read(reader, found).visits, other.tracker.visits)


@pytest.mark.parametrize("status", [Status.IMPORTING, Status.DELETING])
def test_rows_that_no_trainer_writes_are_read_each_time(
    database_url: str, reader: Reader, training: Training, status: Status
) -> None:
    with writing(database_url, training) as writer:
        submit(writer, training, 2)
    where = PromptFilter(words="what is")
    with open_engine(database_url).begin() as connection:
        connection.execute(update(Run).values(status=status))
    assert queries.count_prompts(reader, 1, where) == POOL
    with open_engine(database_url).begin() as connection:
        connection.execute(delete(TrackerState).where(TrackerState.prompt_id > POOL // 2))
    assert queries.count_prompts(reader, 1, where) == len(read(reader).prompt_id) == POOL // 2


def test_what_filters_ask_the_database_is_asked_once_a_step(
    database_url: str, reader: Reader, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = PromptFilter(words="what is", source="arithmetic", last_outcome=(1.0, 1.0), moved=Movement(0))
    asked = []

    def noted(pool: Pool, ids: Any, kept: Mask | None) -> Mask:
        asked.append(kept is None)
        return having(pool, ids, kept)

    having = prompt_filters._having
    monkeypatch.setattr(prompt_filters, "_having", noted)
    with writing(database_url, training) as writer:
        submit(writer, training, 2)
        queries.count_prompts(reader, 1, where)
        before = queries.prompts(reader, 1, where=where, limit=POOL)
        assert asked == [True] * 4 + [False] * 4
        submit(writer, training)
        after = queries.prompts(reader, 1, where=where, limit=POOL)
        # The words and the source stay as they were.
        assert asked[8:] == [False, False, True, True]
    assert {row.last_step for row in after.rows} - {row.last_step for row in before.rows} == {training.step}
