"""A run's row in the store while it starts: a launcher holds it until the trainer does."""

import logging
from threading import Event, Thread
from types import TracebackType
from typing import Self

from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine, reaching
from verl_spo.store.runs import owners, starts
from verl_spo.store.runs.status import Status

_log = logging.getLogger(__name__)

FIRST_PHASE = "starting Ray"


class Registration:
    """Says that a run starts, and gives signs of life; used as a context manager around the run's processes."""

    def __init__(self, store_url: str, run_name: str, starter: str) -> None:
        """
        Raises:
            StoreError: The database cannot be used.
        """
        self._url = store_url
        self._name = run_name
        self._starter = starter
        self._engine = open_engine(store_url)
        self._over = Event()
        self._thread = Thread(target=self._beat, name="start", daemon=True)

    def in_training(self) -> bool:
        """Whether the trainer holds the run; also where the store cannot be asked."""
        return self._status() != Status.STARTING

    def finished(self) -> bool:
        """Whether the run was trained to its end."""
        return self._status() == Status.FINISHED

    def _status(self) -> Status | None:
        try:
            with open_reader(self._url) as reader:
                return queries.run(reader, self._name).run.status
        except StoreError as error:
            _log.warning("%s", error)
            return None

    def end(self, error: str | None) -> None:
        """Note that the processes are gone, and why they failed if they did."""
        try:
            with reaching(self._engine.url):
                starts.end(self._engine, self._name, self._starter, error)
        except StoreError as unreachable:
            _log.warning("how the run ended cannot be noted: %s", unreachable)

    def _beat(self) -> None:
        starting = True
        while starting and not self._over.wait(owners.HEARTBEAT_S):
            try:
                with reaching(self._engine.url):
                    starting = starts.beat(self._engine, self._name, self._starter)
            except StoreError as error:
                _log.warning("%s", error)

    def __enter__(self) -> Self:
        """
        Raises:
            StoreError: A live process holds the run, or the database cannot be used.
        """
        with reaching(self._engine.url):
            starts.begin(self._engine, self._name, self._starter, FIRST_PHASE)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._engine.dispose()
