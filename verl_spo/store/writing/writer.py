"""The writer: a thread that takes records off a bounded queue and makes them durable, whatever the database does.

A step is one transaction; a writer that is behind puts several whole steps into one. While the database is away,
records go to a spool file and from there, in order and once, into the database when it is back.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, text

from verl_spo.config import StoreConfig
from verl_spo.errors import DurabilityError, StoreError
from verl_spo.store import prompts
from verl_spo.store.database.connections import open_engine, reaching, reason
from verl_spo.store.database.urls import describe, is_sqlite, scrub, sqlite_path
from verl_spo.store.records import (
    EvaluationRecord,
    InitScores,
    IntArray,
    MetricsRecord,
    PromptRecord,
    Record,
    RunInfo,
    StepRecord,
    TrackerRows,
)
from verl_spo.store.runs import claims, owners
from verl_spo.store.runs.status import Status
from verl_spo.store.writing import delivery, spool
from verl_spo.store.writing.delivery import Delivery
from verl_spo.store.writing.spool import Entry, Spool
from verl_spo.store.writing.tables import Applier

_log = logging.getLogger(__name__)

_MIB = 2**20

GRACE_S = 5.0
"""Seconds that a checkpoint gives the database before what waits for it goes to the spool."""


def open_writer(
    config: StoreConfig,
    run: RunInfo,
    pool: Iterable[PromptRecord],
    tracker: TrackerRows,
    resume_step: int | None,
    clock: float = 0.0,
    keep_scores: bool = False,
) -> "RunWriter":
    """Begin a run in the database, or continue it, and start its writer.

    Args:
        config: Where to, and how much of it.
        run: Who it is.
        pool: The prompts, by slot.
        tracker: State of all slots, in order.
        resume_step: Of the checkpoint of its own that it continues from: what the database has beyond that is
            superseded. None begins anew, after the step of its parent if it has one, and supersedes all that a run of
            the same name has.
        clock: Event time of the tracker's state.
        keep_scores: Whether a run that begins anew keeps its scores from before training.

    Raises:
        StoreError: The database cannot be used, a live process writes a run of this name, or the checkpoint is of
            another run of this name.
    """
    engine = open_engine(config.url)
    with reaching(engine.url):
        _check_unheld(engine, run)
        ids = prompts.register(engine, pool)
        if len(ids) != tracker.slots.size:
            raise StoreError(f"tracker: has {tracker.slots.size} slots, but the pool has {len(ids)} prompts")
        path = spool.spool_path(engine.url, run.name)
        _adopt(engine, run, ids, config, path)
        with engine.begin() as connection:
            claim = claims.claim(connection, run, ids, tracker, clock, resume_step, keep_scores)
            if connection.dialect.name == "postgresql":
                # The planner would not know of the new rows until the server looks at them by itself.
                connection.execute(text("ANALYZE tracker_state"))
    applier = Applier(claim, ids, config.rollout_budget_mb * _MIB)
    return RunWriter(engine, Delivery(engine, applier, Spool(path, claim.owner)), config)


class RunWriter:
    """Writes one run. `submit` and its like return at once, unless `queue_steps` steps wait already."""

    def __init__(self, engine: Engine, target: Delivery, config: StoreConfig) -> None:
        """Start the thread; `open_writer` is the way to get here."""
        self._url = engine.url
        self._delivery = target
        self._bound = config.queue_steps
        self._timeout_s = config.durability_timeout_s
        self._queue: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._submitted = 0
        self._failure: Exception | None = None
        self._ending: dict[str, object] | None = None
        self._thread = threading.Thread(target=self._run, name="verl-spo-writer", daemon=True)
        self._thread.start()

    @property
    def folders(self) -> list[Path]:
        """Where this machine's part of the history lies: the spool's, and that of a SQLite file."""
        file = [sqlite_path(self._url).parent] if is_sqlite(self._url) else []
        return [*file, self._delivery.spool_path.parent]

    @property
    def queue_depth(self) -> int:
        """Records that are not yet in the database, in memory and in the spool."""
        return self._submitted - self._delivery.delivered

    def submit(self, record: StepRecord) -> None:
        """Hand over a step.

        Raises:
            StoreError: An earlier record could not be written and never will be.
        """
        self._put(record)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hand over metrics of a step; a later value of the same name and step replaces the earlier one."""
        self._put(MetricsRecord(step, dict(metrics)))

    def evaluate(self, record: EvaluationRecord) -> None:
        """Hand over samples of an evaluation; those that are there already add nothing."""
        self._put(record)

    def add_init_scores(self, scores: InitScores) -> None:
        """Hand over scores from before training; later ones of a prompt replace its earlier ones."""
        self._put(scores)

    def settle(self, timeout: float | None = None) -> bool:
        """Make all that was handed over durable: in the database, or synced in the spool.

        Args:
            timeout: Seconds that the database gets, `GRACE_S` if None. What it has not taken by then goes to the spool,
                whatever the database is doing.

        Returns:
            Whether all of it is.
        """
        timeout = GRACE_S if timeout is None else timeout
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not self._nowhere(), timeout)
            if self._failure is None and self._nowhere():
                self._delivery.keep(self._queue)
            return not self._nowhere()

    def secure(self, timeout: float | None = None) -> None:
        """`settle`, or an error.

        Args:
            timeout: Seconds; the configured `durability_timeout_s` if None.

        Raises:
            DurabilityError: Neither database nor spool took everything in time, or never will.
        """
        if not self.settle(self._timeout_s if timeout is None else timeout):
            self._check_durable()

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was handed over is in the database.

        Args:
            timeout: Seconds; the configured `durability_timeout_s` if None.

        Raises:
            DurabilityError: It was not in time, or never will be.
        """
        timeout = self._timeout_s if timeout is None else timeout
        missing = self._wait_for_database(timeout)
        if missing:
            self._check_written(missing)
            why = self._delivery.trouble or "it is slower than training"
            raise DurabilityError(
                f"database {describe(self._url)}: {missing} records were not in it within {timeout:g} s: {why}"
            )

    def close(self, status: Status, timeout: float | None = None) -> None:
        """Give the database time to take everything, note how the run ended, and stop the thread.

        What the database did not take stays in the spool, from where a resume brings it in. Closing again does nothing.

        Args:
            status: How the run ended.
            timeout: Seconds; the configured `durability_timeout_s` if None.

        Raises:
            DurabilityError: Something is neither in the database nor in the spool.
        """
        if not self._thread.is_alive() and self._ending is not None:
            return
        timeout = self._timeout_s if timeout is None else timeout
        try:
            self._wait_for_database(timeout)
        finally:
            self.settle(0.0)
            with self._changed:
                self._ending = {"status": status, "ended_at": time.time()}
                self._changed.notify_all()
            # Not for ever: a database may hang, and what it is to get is durable.
            self._thread.join(max(timeout, GRACE_S))
        self._check_durable()
        if self.queue_depth:
            _log.warning(
                "database %s: has not got %d records, which wait in %s and come in when the run is resumed",
                *(describe(self._url), self.queue_depth, self._delivery.spool_path),
            )

    def _wait_for_database(self, timeout: float) -> int:
        """How many records are not in the database, after so many seconds at most."""
        with self._changed:
            wanted = self._submitted
            self._changed.wait_for(lambda: self._failure or self._delivery.delivered >= wanted, timeout)
            return wanted - self._delivery.delivered

    def _nowhere(self) -> int:
        """How many records are only in the queue; those in the spool count as long as they can be delivered."""
        safe = self._delivery.durable if self._failure is None else self._delivery.delivered
        return self._submitted - safe

    def _check_durable(self) -> None:
        missing = self._nowhere()
        if missing:
            self._check_written(missing)
            raise DurabilityError(
                f"database {describe(self._url)}: {missing} records are neither in it "
                f"({self._delivery.trouble or 'it is slower than training'}) nor in the spool "
                f"{self._delivery.spool_path} ({self._delivery.spool_trouble}); mend one of them, then resume from the "
                "last checkpoint, or raise spo.store.durability_timeout_s"
            )

    def _check_written(self, missing: int) -> None:
        if self._failure is not None:
            raise DurabilityError(
                f"database {describe(self._url)}: {missing} records cannot be written: {self._explain()}"
            ) from self._failure

    def _put(self, record: Record) -> None:
        with self._changed:
            # Only steps are large, and only they wait.
            self._changed.wait_for(lambda: self._failure or not isinstance(record, StepRecord) or self._has_room())
            if self._failure is not None:
                raise StoreError(f"database {describe(self._url)}: {self._explain()}") from self._failure
            if self._ending is not None:
                raise StoreError("this writer is closed; open another one")
            self._submitted += 1
            self._queue.append((self._submitted, record))
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return sum(isinstance(record, StepRecord) for _, record in self._queue) < self._bound

    def _explain(self) -> str | None:
        return scrub(reason(self._failure), self._url) if self._failure is not None else None

    def _run(self) -> None:
        try:
            while self._ending is None or self._queue:
                if not self._work(self._take()) and self._ending is not None:
                    break
            if self._delivery.delivered == self._submitted:
                self._delivery.beat(**(self._ending or {}))
        except Exception as error:
            # Nobody waits for this thread: the trainer hears of it with its next call.
            _log.exception("the store's writer stopped")
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._delivery.close()

    def _take(self) -> list[Entry]:
        """The next records, which stay in the queue until they are safe; none when it is time for a sign of life."""
        wait_s = owners.HEARTBEAT_S if self._delivery.trouble is None else delivery.RETRY_S
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ending is not None, wait_s)
            return list(islice(self._queue, delivery.GROUP))

    def _work(self, entries: list[Entry]) -> bool:
        """Put records where they are safe, or give a sign of life; False if there is no such place."""
        self._delivery.recover()
        if not entries:
            self._delivery.beat()
        elif not self._delivery.accept(entries):
            time.sleep(delivery.RETRY_S)
            return False
        with self._changed:
            for _ in entries:
                self._queue.popleft()
            self._changed.notify_all()
        return True


def _check_unheld(engine: Engine, run: RunInfo) -> None:
    with engine.connect() as connection:
        present = claims.lock(connection, run.name)
    if present is not None:
        claims.check_free(present, run.starter)


def _adopt(engine: Engine, run: RunInfo, ids: IntArray, config: StoreConfig, path: Path) -> None:
    """Bring in what the run's last writer, which died while the database was away, left in its spool."""
    if not path.exists():
        return
    with engine.connect() as connection:
        present = claims.lock(connection, run.name)
    owner = spool.owner_of(path)
    if owner is None or present is None or present.owner != owner or present.pool_digest != run.pool_digest:
        kept = path.rename(path.with_suffix(f".{time.time_ns()}.orphan"))
        _log.warning(
            "the spool %s is of another version, or of a run that this database does not have; kept as %s", path, kept
        )
        return
    claim = claims.Claim(present.id, present.attempt, owner)
    count = delivery.replay(engine, Applier(claim, ids, config.rollout_budget_mb * _MIB), path)
    path.unlink()
    _log.warning("run %s: brought in %d records that its last writer had left in %s", run.name, count, path)
