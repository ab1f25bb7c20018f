"""The store: everything that runs leave behind, in SQLite or Postgres.

`open_writer` is for the one process that trains, `open_reader` with `queries` for everybody else.
"""

from verl_spo.store.database.reader import Reader
from verl_spo.store.writing.writer import RunWriter, open_writer


def open_reader(url: str) -> Reader:
    """A read-only view of a database.

    Raises:
        StoreError: It cannot be read.
        SchemaError: Its schema is missing, older or newer.
    """
    return Reader(url)


__all__ = ["Reader", "RunWriter", "open_reader", "open_writer"]
