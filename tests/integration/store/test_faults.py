"""A database that is away, locked, full, read-only: no step is lost, none is there twice, nobody is left guessing."""

import errno
import logging
import os
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from tests.support.databases import PostgresServer, migrate
from tests.support.faults import away
from tests.support.stores import BATCH, POOL, Training, start, trained, writing
from tests.support.waiting import wait_until
from verl_spo.errors import DurabilityError, StoreError
from verl_spo.store import RunWriter, open_reader, queries
from verl_spo.store.database import connections
from verl_spo.store.database.connections import check_writable, open_engine
from verl_spo.store.database.urls import parse
from verl_spo.store.runs import owners
from verl_spo.store.runs.status import Status
from verl_spo.store.writing import delivery, spool
from verl_spo.store.writing import writer as writing_thread
from verl_spo.store.writing.spool import spool_path

WAIT_S = 60.0

OUTAGE_S = 60.0
STEP_S = 0.2
"""Pace of training while the database is away."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Retries follow each other quickly, and spools lie where the test can see them."""
    monkeypatch.setattr(delivery, "RETRY_S", 0.05)
    monkeypatch.setattr(connections, "_SQLITE_BUSY_MS", 50)
    (tmp_path / "spool").mkdir()
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB."""
    # Not below pytest's own folders: the server's user must be able to get there.
    folder = Path(tempfile.mkdtemp(prefix="spo-disk-"))
    folder.chmod(0o755)
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def spool_of(url: str) -> Path:
    return spool_path(parse(url), "demo/spo")


def assert_complete(url: str, training: Training) -> None:
    """Every step is there once and whole, and the tracker is the training's."""
    with open_reader(url) as reader:
        run = queries.run(reader, "demo/spo").run
        rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, run.id, prompt)]
        assert Counter(row.step for row in rows) == dict.fromkeys(range(1, training.step + 1), BATCH)
        assert len({(row.step, row.seq) for row in rows}) == len(rows)
        assert [row.step for row in queries.step_summaries(reader, run.id)] == list(range(1, training.step + 1))
        assert queries.tracker(reader, run.id).visits.sum() == training.tracker.visits.sum()
    assert not spool_of(url).exists()


def submit(writer: RunWriter, training: Training, steps: int) -> None:
    for _ in range(steps):
        writer.submit(training.advance())
        writer.log(training.step, {"timing_s/step": 1.0})


def wait_until_spooled(writer: RunWriter) -> None:
    wait_until(lambda: not writer._queue, WAIT_S, every=0.01)


def test_postgres_stops_in_mid_run_and_starts_again(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()
    migrate(url)
    training = Training()
    writer = start(url, training)
    submit(writer, training, 3)
    writer.flush()
    for _ in range(2):
        own_postgres.stop()
        submit(writer, training, 100)
        wait_until_spooled(writer)
        assert spool_of(url).exists()
        assert writer.queue_depth == 200
        own_postgres.start()
        submit(writer, training, 5)
        writer.flush(WAIT_S)
        assert writer.queue_depth == 0
    writer.close(Status.FINISHED)
    assert_complete(url, training)


@pytest.mark.slow
def test_postgres_is_away_for_a_minute_while_training_goes_on(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()
    migrate(url)
    training = Training()
    writer = start(url, training)
    submit(writer, training, 20)
    writer.flush()
    own_postgres.stop()
    back_at = time.monotonic() + OUTAGE_S
    while time.monotonic() < back_at:
        submit(writer, training, 1)
        time.sleep(STEP_S)
    wait_until_spooled(writer)
    assert writer.queue_depth == 2 * (training.step - 20)
    own_postgres.start()
    submit(writer, training, 20)
    writer.close(Status.FINISHED, WAIT_S)
    assert_complete(url, training)


def test_a_checkpoint_while_the_database_is_away_is_durable_in_the_spool(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    with away():
        submit(writer, training, 3)
        assert writer.settle()
        writer.secure()
        assert [number for number, _ in spool.read(spool_of(database_url))] == [1, 2, 3, 4, 5, 6]
        assert writer.queue_depth == 6
        submit(writer, training, 2)
    writer.close(Status.FINISHED, WAIT_S)
    assert_complete(database_url, training)


@contextmanager
def hanging(url: str, postgres: PostgresServer) -> Iterator[None]:
    """Whoever writes waits for as long as the block runs."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(parse(url).database or "", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
    else:
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE observations")
            yield
            other.rollback()


def test_a_checkpoint_while_the_database_hangs_is_durable_in_the_spool(
    database_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_SQLITE_BUSY_MS", 600_000)
    training = Training()
    writer = start(database_url, training)
    submit(writer, training, 2)
    writer.flush()
    with hanging(database_url, postgres):
        submit(writer, training, 3)
        assert writer.settle(0.1)
        # The writer's thread is in its transaction all the time.
        assert writer.queue_depth == len(writer._queue) == 6
        assert [number for number, _ in spool.read(spool_of(database_url))] == [5, 6, 7, 8, 9, 10]
        submit(writer, training, 1)
    writer.flush(WAIT_S)
    assert not spool_of(database_url).exists()
    writer.close(Status.FINISHED)
    assert_complete(database_url, training)


def test_a_run_may_end_while_the_database_hangs(
    database_url: str, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_SQLITE_BUSY_MS", 600_000)
    monkeypatch.setattr(writing_thread, "GRACE_S", 0.1)
    training = Training()
    writer = start(database_url, training)
    with hanging(database_url, postgres):
        submit(writer, training, 3)
        writer.close(Status.FINISHED, timeout=0.1)
        assert writer._thread.is_alive()
        assert [number for number, _ in spool.read(spool_of(database_url))] == [1, 2, 3, 4, 5, 6]
    writer._thread.join(WAIT_S)
    assert_complete(database_url, training)
    with open_reader(database_url) as reader:
        assert queries.run(reader, "demo/spo").run.status == Status.FINISHED


def test_training_stops_where_neither_database_nor_spool_takes_a_checkpoint(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", "/proc/nothing")
    training = Training()
    writer = start(database_url, training)
    with away():
        submit(writer, training, 1)
        assert not writer.settle(0.1)
        neither = r"2 records are neither in it \(the database is away\) nor in the spool /proc/nothing/.*\(\[Errno 2\]"
        with pytest.raises(DurabilityError, match=neither):
            writer.secure(0.1)
        with pytest.raises(DurabilityError, match=neither):
            writer.close(Status.FAILED, timeout=0.1)


def test_a_checkpoint_is_durable_once_one_of_the_two_is_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training = Training()
    writer = start(database_url, training)
    folder = spool_of(database_url).parent
    folder.rmdir()
    folder.touch()
    with away() as tried:
        submit(writer, training, 1)
        assert not writer.settle(0.1)
        folder.unlink()
        writer.secure(WAIT_S)
        assert tried
        assert writer.queue_depth == 2
    writer.close(Status.FINISHED, WAIT_S)
    assert_complete(database_url, training)


def test_a_run_may_end_while_the_database_is_away(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    training = Training()
    writer = start(database_url, training)
    submit(writer, training, 2)
    writer.flush()
    with away(), caplog.at_level(logging.WARNING):
        submit(writer, training, 3)
        writer.close(Status.FINISHED, timeout=0.1)
    assert f"has not got 6 records, which wait in {spool_of(database_url)}" in caplog.text
    with open_reader(database_url) as reader:
        assert queries.run(reader, "demo/spo").run.last_step == 2
    start(database_url, training, resume_step=5).close(Status.FINISHED)
    assert_complete(database_url, training)
    assert "gap" not in caplog.text


def test_a_spool_that_is_not_here_is_missed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = Training()
    writer = start(database_url, training)
    submit(writer, training, 2)
    writer.flush()
    with away():
        submit(writer, training, 3)
        writer.close(Status.FINISHED, timeout=0.1)
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", str(tmp_path / "elsewhere"))
    with caplog.at_level(logging.WARNING):
        start(database_url, training, resume_step=5).close(Status.FINISHED)
    assert f"its history has a gap, steps 3 to 5; if process {os.getpid()} on " in caplog.text


def test_a_connection_that_is_cut_in_a_transaction_loses_nothing(postgres: PostgresServer, postgres_url: str) -> None:
    training = Training()
    writer = start(postgres_url, training)
    for _ in range(20):
        submit(writer, training, 2)
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND application_name = 'verl-spo'"
        )
    writer.close(Status.FINISHED)
    assert_complete(postgres_url, training)


def test_a_commit_whose_answer_was_lost_is_not_repeated(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    lost = iter([True, True, False])

    @event.listens_for(Engine, "commit")
    def lose_answer(connection: object) -> None:
        nonlocal lost
        if next(lost, False):
            raw = connection.connection.driver_connection  # type: ignore[attr-defined]
            raw.execute("COMMIT")
            raise OperationalError("COMMIT", {}, Exception("the answer was lost"))

    try:
        submit(writer, training, 4)
        writer.flush(WAIT_S)
    finally:
        event.remove(Engine, "commit", lose_answer)
        writer.close(Status.FINISHED)
    assert_complete(database_url, training)


@pytest.mark.parametrize("group", [delivery.GROUP, 3])
def test_a_spool_that_took_part_of_a_group_is_replayed_once(
    database_url: str, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "GROUP", group)
    training = Training()
    writer = start(database_url, training)
    pwrite, calls = os.pwrite, count(1)

    def refuse_once(file: int, data: bytes, offset: int) -> int:
        # The header and two records, then the third one.
        if next(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(file, data, offset)

    monkeypatch.setattr(os, "pwrite", refuse_once)
    with away():
        # The writer cannot take any before it can take all.
        with writer._changed:
            for _ in range(5):
                writer.submit(training.advance())
        wait_until_spooled(writer)
        assert [number for number, _ in spool.read(spool_of(database_url))] == [1, 2, 3, 4, 5]
    writer.close(Status.FINISHED, WAIT_S)
    assert_complete(database_url, training)


def test_a_database_is_not_back_before_it_is(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Nothing can be spooled here.
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", "/proc/nothing")
    training = Training()
    writer = start(database_url, training)
    with caplog.at_level(logging.WARNING):
        with away() as tried:
            submit(writer, training, 1)
            wait_until(lambda: len(tried) > 4, WAIT_S, every=0.01)
            assert "the database is back" not in caplog.text
            assert caplog.text.count("records go to") == 1
        writer.close(Status.FINISHED, WAIT_S)
    assert caplog.text.count("the database is back; nothing was lost") == 1
    assert_complete(database_url, training)


def test_a_spool_that_cannot_be_removed_stops_nobody(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    writer = start(database_url, training)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", refuse)
        for _ in range(2):
            with away():
                submit(writer, training, 2)
                wait_until_spooled(writer)
            writer.flush(WAIT_S)
        writer.close(Status.FINISHED, WAIT_S)
    assert spool_of(database_url).exists()
    resumed = start(database_url, training, resume_step=training.step)
    submit(resumed, training, 1)
    resumed.close(Status.FINISHED)
    spool_of(database_url).unlink(missing_ok=True)
    assert_complete(database_url, training)


def test_sqlite_that_another_process_locks_delays_and_loses_nothing(sqlite_url: str) -> None:
    training = Training()
    writer = start(sqlite_url, training)
    submit(writer, training, 2)
    writer.flush()
    other = sqlite3.connect(parse(sqlite_url).database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    submit(writer, training, 10)
    wait_until_spooled(writer)
    with pytest.raises(DurabilityError, match="database is locked"):
        writer.flush(0.1)
    other.execute("ROLLBACK")
    other.close()
    writer.close(Status.FINISHED, WAIT_S)
    assert_complete(sqlite_url, training)


def test_a_full_disk_delays_and_loses_nothing(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The spool is on the same disk: records have to wait in memory.
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", str(small_disk))
    url = f"sqlite:///{small_disk}/store.db"
    training = Training()
    writer = start(url, training, queue_steps=1000)
    submit(writer, training, 2)
    writer.flush()
    filler = fill(small_disk)
    submit(writer, training, 200)
    wait_until(lambda: any(why in refusal(writer) for why in ("disk is full", "disk I/O error")), WAIT_S)
    assert not spool_of(url).exists() or spool_of(url).stat().st_size < 2**20
    filler.unlink()
    writer.close(Status.FINISHED, WAIT_S)
    assert_complete(url, training)


def refusal(writer: RunWriter) -> str:
    """What a flush says that cannot succeed."""
    with pytest.raises(DurabilityError) as caught:
        writer.flush(0.2)
    return str(caught.value)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2
    return filler


def test_a_full_postgres_disk_delays_and_loses_nothing(own_postgres: PostgresServer, small_disk: Path) -> None:
    tablespace = small_disk / "data"
    tablespace.mkdir()
    os.chown(tablespace, own_postgres.folder.stat().st_uid, -1)
    own_postgres.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(tablespace))))
    url = own_postgres.new_database()
    migrate(url)
    with open_engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # The database itself is too large for the disk; its one large table is not.
        connection.execute(text("ALTER TABLE observations SET TABLESPACE small"))
    training = Training()
    writer = start(url, training, queue_steps=1000)
    submit(writer, training, 2)
    writer.flush()
    filler = fill(small_disk)
    submit(writer, training, 300)
    wait_until_spooled(writer)
    with pytest.raises(DurabilityError, match="No space left on device"):
        writer.flush(0.5)
    filler.unlink()
    writer.close(Status.FINISHED, WAIT_S)
    assert_complete(url, training)


def test_a_database_that_may_not_grow_delays_and_loses_nothing(sqlite_url: str) -> None:
    training = Training()
    writer = start(sqlite_url, training)
    limited = [True]

    @event.listens_for(Engine, "begin")
    def limit(connection: object) -> None:
        pages = 1 if limited[0] else 2**30
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]

    try:
        submit(writer, training, 200)
        wait_until_spooled(writer)
        with pytest.raises(DurabilityError, match="database or disk is full"):
            writer.flush(0.1)
        limited[0] = False
        writer.flush(WAIT_S)
    finally:
        event.remove(Engine, "begin", limit)
        writer.close(Status.FINISHED)
    assert_complete(sqlite_url, training)


def test_training_waits_only_when_the_queue_is_full(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    writer = start(sqlite_url, training, queue_steps=3)
    # Neither the database nor the spool takes anything.
    monkeypatch.setattr(delivery.Delivery, "accept", lambda self, entries: False)
    for _ in range(3):
        writer.submit(training.advance())
    assert writer.queue_depth == 3
    # Metrics are small and do not count, or the last step's could not be told.
    writer.log(3, {"timing_s/step": 1.0})
    assert writer.queue_depth == 4
    refused = threading.Event()
    has_room = writer._has_room
    monkeypatch.setattr(writer, "_has_room", lambda: has_room() or refused.set())
    trainer = threading.Thread(target=writer.submit, args=(training.advance(),))
    trainer.start()
    wait_until(lambda: refused.is_set() or not trainer.is_alive(), WAIT_S, every=0.01)
    assert trainer.is_alive()
    assert writer.queue_depth == 4
    monkeypatch.undo()
    trainer.join(WAIT_S)
    assert not trainer.is_alive()
    writer.close(Status.FINISHED, WAIT_S)
    with open_reader(sqlite_url) as reader:
        assert queries.run(reader, "demo/spo").run.last_step == 4


def test_what_a_killed_writer_left_in_its_spool_comes_in_once(database_url: str) -> None:
    training = _leave_spool(database_url)
    resumed = Training()
    with writing(database_url, resumed, resume_step=0):
        pass
    with open_reader(database_url) as reader:
        rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, 1, prompt)]
    assert Counter((row.step, row.superseded) for row in rows) == {
        (step, True): BATCH for step in range(1, training.step + 1)
    }
    assert not spool_of(database_url).exists()


def test_a_torn_spool_is_read_up_to_where_it_is_whole(database_url: str) -> None:
    _leave_spool(database_url)
    path = spool_of(database_url)
    path.write_bytes(path.read_bytes()[:-100])
    with writing(database_url, Training(), resume_step=0):
        pass
    with open_reader(database_url) as reader:
        rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, 1, prompt)]
    assert Counter(row.step for row in rows) == dict.fromkeys((1, 2, 3, 4), BATCH)


def test_a_spool_that_is_not_ours_is_kept_aside(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    _leave_spool(database_url)
    with open_engine(database_url).begin() as connection:
        connection.execute(text("UPDATE runs SET owner = 'elsewhere:1:2:3:4', heartbeat_at = 0"))
    with caplog.at_level(logging.WARNING):
        trained(database_url, steps=1)
    assert "kept as" in caplog.text
    assert len(list(spool_of(database_url).parent.glob("*.orphan"))) == 1


def test_a_spool_full_of_rubbish_does_not_stop_a_run(database_url: str) -> None:
    spool_of(database_url).write_bytes(os.urandom(1000))
    training = trained(database_url, steps=2)
    assert_complete(database_url, training)


def _leave_spool(url: str) -> Training:
    """A run whose process died with three steps in the database and two more in its spool."""
    training = Training()
    writer = start(url, training)
    for _ in range(3):
        writer.submit(training.advance())
    writer.flush()
    with away():
        for _ in range(2):
            writer.submit(training.advance())
        writer.close(Status.FAILED, timeout=0.0)
    return training


def test_a_read_only_file_is_refused_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=1)
    # Root may write to any file, so permissions alone would show nothing.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).suffix != ".db")
    with pytest.raises(StoreError, match=f"database {tmp_path}/store.db: .* is read-only"):
        start(url, Training())
    with open_reader(url) as reader:
        assert queries.run(reader, "demo/spo").run.last_step == 1


def test_a_database_on_a_read_only_disk_can_be_read(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/store.db"
    trained(url, steps=1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreError, match="is read-only"):
        check_writable(url)
    with open_reader(url) as reader:
        assert queries.run(reader, "demo/spo").run.last_step == 1


@pytest.mark.parametrize("make", [True, False])
@pytest.mark.parametrize("place", ["missing/store.db", ""])
def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, place: str, make: bool) -> None:
    with pytest.raises(StoreError, match=r"does not exist|is a folder"):
        check_writable(f"sqlite:///{tmp_path}/{place}", make)


def test_a_network_file_system_gets_no_write_ahead_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=1)
    monkeypatch.setattr("verl_spo.store.database.filesystems.network_type", lambda path: "nfs4")
    with caplog.at_level(logging.WARNING):
        training = trained(url, steps=2)
    assert "network file system (nfs4)" in caplog.text
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    with open_reader(url) as reader:
        assert queries.tracker(reader, 1).visits.sum() == training.tracker.visits.sum()


def test_a_clock_that_is_set_back_changes_no_history(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    now = [2e9]
    monkeypatch.setattr("time.time", lambda: now[0])
    with writing(database_url, training) as writer:
        for _ in range(6):
            writer.submit(training.advance())
            writer.flush()
            now[0] -= 3600
            with open_reader(database_url) as reader:
                # Its last sign of life lies an hour ahead: nobody can tell that it is alive but by the process.
                assert queries.run(reader, "demo/spo").run.status in ("running", "lost")
            with pytest.raises(StoreError, match="writes it"):
                start(database_url, Training())
    assert_complete(database_url, training)
    with open_reader(database_url) as reader:
        page = queries.metric_series(reader, [1], ["spo/reward"])
        assert page.series[0].steps.tolist() == list(range(1, 7))


def test_a_writer_on_another_machine_is_believed_for_a_lease(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    writer.close(Status.STOPPED)
    for age, alive in ((0.0, True), (2 * owners.LEASE_S, False)):
        with open_engine(database_url).begin() as connection:
            statement = text("UPDATE runs SET status = 'running', owner = 'other:1:2:3:4', heartbeat_at = :at")
            connection.execute(statement, {"at": owners.time.time() - age})
        if alive:
            with pytest.raises(StoreError, match="process 2 on other writes it"):
                start(database_url, Training())
        else:
            start(database_url, Training()).close(Status.STOPPED)


def test_a_role_that_may_not_write_is_noticed_before_training(postgres_url: str) -> None:
    check_writable(postgres_url)
    reading = f"{postgres_url}&options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(StoreError, match="read-only transaction"):
        check_writable(reading)


def test_what_a_writer_cannot_deliver_any_more_goes_to_its_spool(own_postgres: PostgresServer) -> None:
    url = own_postgres.new_database()
    migrate(url)
    training = Training()
    writer = start(url, training)
    own_postgres.stop()
    submit(writer, training, 50)
    writer.close(Status.FAILED, timeout=0.0)
    assert [number for number, _ in spool.read(spool_of(url))] == list(range(1, 101))
    own_postgres.start()
    with writing(url, Training(), resume_step=0):
        pass
    with open_reader(url) as reader:
        rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, 1, prompt)]
    assert Counter(row.step for row in rows) == dict.fromkeys(range(1, 51), BATCH)
