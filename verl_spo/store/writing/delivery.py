"""Where records end up: in the database, or in the spool while the database is away."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from verl_spo.store.database.connections import is_away, reason
from verl_spo.store.database.urls import scrub
from verl_spo.store.runs import owners
from verl_spo.store.writing import spool
from verl_spo.store.writing.spool import Entry, Spool
from verl_spo.store.writing.tables import Applier

_log = logging.getLogger(__name__)

GROUP = 64
"""Records that one transaction may hold, where so many wait."""

RETRY_S = 1.0


class Delivery:
    """Takes numbered records in order. Used by one thread; any other may `keep` what the database has not taken yet.

    Attributes:
        delivered: Number of the last record that is in the database.
        trouble: Why the database is away, None while it is not.
        spool_trouble: Why the spool could not take a record, None if it took the last one that it was given.
    """

    def __init__(self, engine: Engine, applier: Applier, spool_file: Spool) -> None:
        self.delivered = 0
        self.trouble: str | None = None
        self.spool_trouble: str | None = None
        self._engine = engine
        self._applier = applier
        self._spool = spool_file
        self._retry_at = 0.0

    @property
    def durable(self) -> int:
        """Number of the last record that is in the database or synced in the spool, as all before it are."""
        # In this order: a spool is removed only after all of it was delivered.
        return max(self._spool.last, self.delivered)

    @property
    def spool_path(self) -> Path:
        """Where the spool lies, if there is one."""
        return self._spool.path

    def accept(self, entries: Sequence[Entry]) -> bool:
        """Take records; False if they are neither in the database nor in the spool and must be given again."""
        if self.trouble is None and self._commit(entries):
            self._forget_spool()
            return True
        return self.keep(entries)

    def keep(self, entries: Iterable[Entry]) -> bool:
        """Put all records that are not in the database into the spool; False if it cannot take them."""
        try:
            for entry in entries:
                self._spool.append(entry)
        except OSError as error:
            self.spool_trouble = str(error)
            _log.warning("the spool %s cannot take records: %s", self._spool.path, error)
            return False
        self.spool_trouble = None
        return True

    def recover(self) -> None:
        """If the database is away and it is time for another attempt: replay the spool."""
        if self.trouble is None or time.monotonic() < self._retry_at:
            return
        # Where nothing could be spooled, only this shows whether the database is back.
        if self._transaction(self._applier.beat) and all(self._commit(group) for group in groups(self._spooled())):
            _log.warning("the database is back; nothing was lost")
            self.trouble = None
            self._forget_spool()

    def beat(self, **changes: Any) -> bool:
        """Give a sign of life and change columns of the run; False if the database is away."""
        return self.trouble is None and self._transaction(lambda connection: self._applier.beat(connection, **changes))

    def close(self) -> None:
        """Let go of the database; what only the spool has stays there for the run's next writer."""
        self._forget_spool()
        self._spool.close()
        self._engine.dispose()
        owners.release(self._applier.owner)

    def _spooled(self) -> Iterator[Entry]:
        return spool.read(self._spool.path) if self._spool.path.exists() else iter(())

    def _forget_spool(self) -> None:
        try:
            self._spool.remove(through=self.delivered)
        except OSError as error:
            # All of it is in the database, and none of it would go in again.
            _log.warning("the spool %s is not needed any more, but cannot be removed: %s", self._spool.path, error)

    def _commit(self, entries: Sequence[Entry]) -> bool:
        if not self._transaction(lambda connection: self._applier.apply(connection, entries)):
            return False
        # A spool is replayed from its beginning, also if part of it is in already.
        self.delivered = max(self.delivered, entries[-1][0])
        return True

    def _transaction(self, work: Any) -> bool:
        try:
            with self._engine.begin() as connection:
                work(connection)
        except DBAPIError as error:
            self._applier.rolled_back()
            if not is_away(error):
                raise
            self._away(error)
            return False
        return True

    def _away(self, error: DBAPIError) -> None:
        message = scrub(reason(error), self._engine.url)
        if self.trouble is None:
            _log.warning("the database is away (%s); records go to %s until it is back", message, self._spool.path)
        self.trouble = message
        self._retry_at = time.monotonic() + RETRY_S


def replay(engine: Engine, applier: Applier, path: Path) -> int:
    """Put what a writer that died left in its spool into the database; returns the number of records."""
    count = 0
    for group in groups(spool.read(path)):
        with engine.begin() as connection:
            applier.apply(connection, group)
        count += len(group)
    return count


def groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries, as many at a time as one transaction may hold."""
    source = iter(entries)
    while group := list(islice(source, GROUP)):
        yield group
