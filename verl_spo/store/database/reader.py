"""Reading the store, through connections that cannot write."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from verl_spo.store.database.connections import open_reading_engine, reaching
from verl_spo.store.database.kept import Kept
from verl_spo.store.database.urls import describe

_POOLS = 4
_MASKS = 64


class Reader:
    """A read-only view of the database; threads may share it. Everything in `queries` takes one.

    Attributes:
        pools: Pools that were asked for last; one of a million prompts has 50 MB.
        masks: Which prompts of a pool some filters leave, a byte a prompt.
        sources: Data sources of pools.
    """

    def __init__(self, url: str) -> None:
        """
        Raises:
            StoreError: The database cannot be read.
            SchemaError: Its schema is missing, older or newer.
        """
        self._engine = open_reading_engine(url)
        self.pools = Kept(_POOLS)
        self.masks = Kept(_MASKS)
        self.sources = Kept(_MASKS)

    def __str__(self) -> str:
        """The database's URL without its password."""
        return describe(self._engine.url)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def connect(self, snapshot: bool = False) -> Iterator[Connection]:
        """A connection in a read-only transaction.

        Args:
            snapshot: All its queries see one state; on SQLite they always do.

        Raises:
            StoreError: The database is away.
        """
        with reaching(self._engine.url), self._engine.connect() as connection:
            if snapshot and self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
