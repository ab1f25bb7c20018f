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
from verl_spo.store import ownership, prompts, registry, sink, spool
from verl_spo.store.apply import Applier
from verl_spo.store.engine import open_engine, reaching, reason
from verl_spo.store.records import (
    EvaluationRecord,
    InitScores,
    IntArray,
    MetricsRecord,
    PromptRecord,
    Record,
    RunInfo,
    Status,
    StepRecord,
    TrackerRows,
)
from verl_spo.store.sink import Sink
from verl_spo.store.spool import Entry, Spool
from verl_spo.store.urls import describe, scrub

_log = logging.getLogger(__name__)

_MIB = 2**20


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
        resume_step: Of the checkpoint it continues from: what the database has beyond that is superseded. None begins
            anew, and supersedes all that a run of the same name has.
        clock: Event time of the tracker's state.
        keep_scores: Whether a run that begins anew keeps its scores from before training.

    Raises:
        StoreError: The database cannot be used, a live process writes a run of this name, or the checkpoint is of
            another run of this name.
    """
    engine = open_engine(config.url)
    with reaching(engine.url):
        _check_free(engine, run.name)
        ids = prompts.register(engine, pool)
        if len(ids) != tracker.slots.size:
            raise StoreError(f"tracker: has {tracker.slots.size} slots, but the pool has {len(ids)} prompts")
        path = spool.spool_path(engine.url, run.name)
        _adopt(engine, run, ids, config, path)
        with engine.begin() as connection:
            claim = registry.claim(connection, run, ids, tracker, clock, resume_step, keep_scores)
            if connection.dialect.name == "postgresql":
                # The planner would not know of the new rows until the server looks at them by itself.
                connection.execute(text("ANALYZE tracker_state"))
    applier = Applier(claim, ids, config.rollout_budget_mb * _MIB)
    return RunWriter(engine, Sink(engine, applier, Spool(path, claim.owner)), config)


class RunWriter:
    """Writes one run. `submit` and its like return at once, unless `queue_steps` steps wait already."""

    def __init__(self, engine: Engine, target: Sink, config: StoreConfig) -> None:
        """Start the thread; `open_writer` is the way to get here."""
        self._url = engine.url
        self._sink = target
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
    def queue_depth(self) -> int:
        """Records that are not yet in the database, in memory and in the spool."""
        return self._submitted - self._sink.durable

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
        """Hand over a benchmark's result."""
        self._put(record)

    def add_init_scores(self, scores: InitScores) -> None:
        """Hand over scores from before training; later ones of a prompt replace its earlier ones."""
        self._put(scores)

    def flush(self, timeout: float | None = None) -> None:
        """Return when all that was handed over is in the database.

        Args:
            timeout: Seconds; the configured `durability_timeout_s` if None.

        Raises:
            DurabilityError: It was not in time, or never will be.
        """
        timeout = self._timeout_s if timeout is None else timeout
        with self._changed:
            wanted = self._submitted
            self._changed.wait_for(lambda: self._failure or self._sink.durable >= wanted, timeout)
            missing = wanted - self._sink.durable
        if missing and self._failure is not None:
            raise DurabilityError(
                f"database {describe(self._url)}: {missing} records cannot be written: {self._explain()}"
            ) from self._failure
        if missing:
            why = self._sink.trouble or "it is slower than training"
            raise DurabilityError(
                f"database {describe(self._url)}: {missing} records were not durable within {timeout:g} s: {why}; "
                "mend the database, then resume from the last checkpoint, or raise spo.store.durability_timeout_s"
            )

    def close(self, status: Status, timeout: float | None = None) -> None:
        """Flush, note how the run ended, and stop the thread. Closing again does nothing.

        Raises:
            DurabilityError: Not everything is in the database; what is in the spool comes in when the run resumes.
        """
        if not self._thread.is_alive() and self._ending is not None:
            return
        try:
            self.flush(timeout)
        finally:
            with self._changed:
                self._ending = {"status": status, "ended_at": time.time()}
                self._changed.notify_all()
            self._thread.join()

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
            if self._sink.durable == self._submitted:
                self._sink.beat(**(self._ending or {}))
        except Exception as error:
            # Nobody waits for this thread: the trainer hears of it with its next call.
            _log.exception("the store's writer stopped")
            with self._changed:
                self._failure = error
                self._changed.notify_all()
        finally:
            self._sink.close()

    def _take(self) -> list[Entry]:
        """The next records, which stay in the queue until they are safe; none when it is time for a sign of life."""
        wait_s = ownership.HEARTBEAT_S if self._sink.trouble is None else sink.RETRY_S
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ending is not None, wait_s)
            return list(islice(self._queue, sink.GROUP))

    def _work(self, entries: list[Entry]) -> bool:
        """Put records where they are safe, or give a sign of life; False if there is no such place."""
        self._sink.recover()
        if not entries:
            self._sink.beat()
        elif not self._sink.accept(entries):
            time.sleep(sink.RETRY_S)
            return False
        with self._changed:
            for _ in entries:
                self._queue.popleft()
            self._changed.notify_all()
        return True


def _check_free(engine: Engine, name: str) -> None:
    with engine.connect() as connection:
        present = registry.find(connection, name)
    if present is not None:
        registry.check_free(present)


def _adopt(engine: Engine, run: RunInfo, ids: IntArray, config: StoreConfig, path: Path) -> None:
    """Bring in what the run's last writer, which died while the database was away, left in its spool."""
    if not path.exists():
        return
    with engine.connect() as connection:
        present = registry.find(connection, run.name)
    owner = spool.owner_of(path)
    if owner is None or present is None or present.owner != owner or present.pool_digest != run.pool_digest:
        kept = path.rename(path.with_suffix(f".{time.time_ns()}.orphan"))
        _log.warning("the spool %s is of a run that this database does not have; kept as %s", path, kept)
        return
    claim = registry.Claim(present.id, present.attempt, owner)
    count = sink.replay(engine, Applier(claim, ids, config.rollout_budget_mb * _MIB), path)
    path.unlink()
    _log.warning("run %s: brought in %d records that its last writer had left in %s", run.name, count, path)
