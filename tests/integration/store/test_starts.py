"""A run between its launcher's first word and its trainer's claim."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text, update

from tests.support.stores import Training, info, pool, start, trained
from verl_spo.config import StoreConfig
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, open_writer, queries
from verl_spo.store.database import schema_version
from verl_spo.store.database.connections import open_engine, writing
from verl_spo.store.queries import RunDetail
from verl_spo.store.runs import manage, owners, starts
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Run
from verl_spo.store.transfer import export_run, import_run

RUN = "demo/spo"
ELSEWHERE = "elsewhere:1:2:3:4"
LONG_AGO = 1e9


@pytest.fixture
def engine(database_url: str) -> Engine:
    return open_engine(database_url)


def found(url: str) -> RunDetail:
    with open_reader(url) as reader:
        return queries.run(reader, RUN)


def change(engine: Engine, **columns: object) -> None:
    with engine.begin() as connection:
        connection.execute(update(Run).values(**columns))


def test_a_new_run_is_there_with_its_phase(database_url: str, engine: Engine) -> None:
    with owners.owning() as starter:
        starts.begin(engine, RUN, starter, "starting Ray")
        run = found(database_url).run
        assert (run.status, run.phase, run.attempt, run.pool_size) == (Status.STARTING, "starting Ray", 0, 0)
        starts.report(engine, RUN, starter, "loading")
        starts.report(engine, RUN, "another launcher", "idling")
        assert found(database_url).run.phase == "loading"
        assert found(database_url).config == {}


def test_its_trainer_takes_it_over_and_its_first_step_ends_the_phases(database_url: str, engine: Engine) -> None:
    with owners.owning() as starter:
        starts.begin(engine, RUN, starter, "starting Ray")
        training = Training()
        writer = start(database_url, training, info(starter=starter))
        assert not starts.beat(engine, RUN, starter)
        starts.report(engine, RUN, starter, "taking the first step")
        run = found(database_url).run
        assert (run.status, run.phase, run.attempt) == (Status.RUNNING, "taking the first step", 1)
        assert run.uid == info().uid
        writer.submit(training.advance())
        writer.flush()
        assert found(database_url).run.phase is None
        writer.close(Status.FINISHED)


@pytest.mark.parametrize("exists", [False, True])
def test_while_it_starts_nobody_else_takes_it(database_url: str, engine: Engine, exists: bool) -> None:
    if exists:
        trained(database_url, steps=1)
    with owners.owning() as starter:
        starts.begin(engine, RUN, starter, "starting Ray")
        for taking in (
            lambda: start(database_url, Training()),
            lambda: starts.begin(engine, RUN, "another launcher", "starting Ray"),
            lambda: manage.delete_run(engine, RUN),
            lambda: manage.rename(engine, RUN, "other"),
        ):
            with pytest.raises(StoreError, match="starts it"):
                taking()


def test_a_run_that_is_written_is_not_started(database_url: str, engine: Engine) -> None:
    writer = start(database_url, Training())
    with pytest.raises(StoreError, match="writes it"):
        starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    writer.close(Status.FINISHED)


@pytest.mark.parametrize("error", ["the model is not there", None])
@pytest.mark.parametrize("status", [Status.FINISHED, Status.STOPPED, Status.FAILED, Status.RUNNING])
def test_a_start_that_fails_leaves_an_existing_run_as_it_was(
    database_url: str, engine: Engine, status: Status, error: str | None
) -> None:
    trained(database_url, steps=3)
    change(engine, status=status, owner=ELSEWHERE, heartbeat_at=LONG_AGO, error="of an earlier attempt")
    before = found(database_url)
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    assert found(database_url).run.status == Status.STARTING
    assert starts.beat(engine, RUN, ELSEWHERE)
    starts.end(engine, RUN, ELSEWHERE, error)
    after = found(database_url)
    assert after.attempts == before.attempts
    assert (after.run.status, after.run.heartbeat_at) == (before.run.status, LONG_AGO)
    assert after.run.error == (error or "of an earlier attempt")
    with engine.connect() as connection:
        # What the last writer left in its spool is known by it.
        assert connection.execute(text("SELECT owner FROM runs")).scalar_one() == ELSEWHERE


@pytest.mark.parametrize(("error", "status"), [("no model", Status.FAILED), (None, Status.STOPPED)])
def test_a_new_run_whose_start_ends_says_how(
    database_url: str, engine: Engine, error: str | None, status: Status
) -> None:
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    starts.end(engine, RUN, ELSEWHERE, error)
    run = found(database_url).run
    assert (run.status, run.error, run.phase) == (status, error, None)
    assert run.ended_at is not None
    # And the next start is a start like any other.
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    assert found(database_url).run.error is None
    start(database_url, Training(), info(starter=ELSEWHERE)).close(Status.FINISHED)
    assert (found(database_url).run.status, found(database_url).run.error) == (Status.FINISHED, None)


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        ("killed", Status.RUNNING, Status.FAILED),
        (None, Status.RUNNING, Status.STOPPED),
        ("killed", Status.FINISHED, Status.FINISHED),
        ("killed", Status.FAILED, Status.FAILED),
    ],
)
def test_a_trainer_that_could_not_say_how_it_ended_has_its_launcher_say_so(
    database_url: str, engine: Engine, error: str | None, before: Status, after: Status
) -> None:
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    start(database_url, Training(), info(starter=ELSEWHERE)).close(Status.FINISHED)
    change(engine, status=before)
    starts.end(engine, RUN, "another launcher", "a lie")
    assert found(database_url).run.error is None
    starts.end(engine, RUN, ELSEWHERE, error)
    run = found(database_url).run
    assert (run.status, run.error) == (after, None if after == Status.FINISHED else error)


def test_a_launcher_that_died_is_not_waited_for(database_url: str, engine: Engine) -> None:
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    change(engine, starting_at=LONG_AGO, heartbeat_at=LONG_AGO)
    assert found(database_url).run.status == Status.LOST
    trained(database_url, steps=1)
    assert found(database_url).run.status == Status.FINISHED
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    change(engine, starting_at=LONG_AGO)
    assert found(database_url).run.status == Status.FINISHED


def test_a_checkpoint_goes_on_in_a_database_that_never_saw_its_run(database_url: str, engine: Engine) -> None:
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    training = Training()
    for _ in range(3):
        training.advance()
    run = info(starter=ELSEWHERE, uid="b" * 32)
    writer = open_writer(StoreConfig(url=database_url), run, pool(), training.rows(), resume_step=3)
    writer.submit(training.advance())
    writer.close(Status.FINISHED)
    assert (found(database_url).run.uid, found(database_url).run.last_step) == ("b" * 32, 4)


def test_an_export_of_a_run_that_starts_is_one_that_was_stopped(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    with open_reader(database_url) as reader:
        export_run(reader, RUN, tmp_path / "export", "jsonl")
    import_run(engine, tmp_path / "export", "copy")
    with open_reader(database_url) as reader:
        assert queries.run(reader, "copy").run.status == Status.STOPPED


def test_an_export_keeps_why_a_run_failed(database_url: str, engine: Engine, tmp_path: Path) -> None:
    starts.begin(engine, RUN, ELSEWHERE, "starting Ray")
    starts.end(engine, RUN, ELSEWHERE, "no model")
    with open_reader(database_url) as reader:
        export_run(reader, RUN, tmp_path / "export", "jsonl")
    import_run(engine, tmp_path / "export", "copy")
    with open_reader(database_url) as reader:
        copy = queries.run(reader, "copy").run
    assert (copy.status, copy.error) == (Status.FAILED, "no model")


def test_the_schema_before_has_no_runs_that_no_trainer_held(database_url: str, engine: Engine) -> None:
    trained(database_url, steps=1)
    starts.begin(engine, "demo/new", ELSEWHERE, "starting Ray")
    with writing(database_url) as upgraded, upgraded.connect() as connection:
        schema_version.downgrade(connection, "0002")
        assert connection.execute(text("SELECT name FROM runs")).scalars().all() == [RUN]
        connection.rollback()
        schema_version.upgrade(connection)
    assert found(database_url).run.last_step == 1
