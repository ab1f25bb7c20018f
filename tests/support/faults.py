"""A database that fails."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError


@contextmanager
def away() -> Iterator[list[float]]:
    """No transaction can begin while the block runs; gives the times of those that tried."""
    tried: list[float] = []

    def refuse(connection: object) -> None:
        tried.append(time.monotonic())
        raise OperationalError("BEGIN", {}, Exception("the database is away"))

    event.listen(Engine, "begin", refuse)
    try:
        yield tried
    finally:
        event.remove(Engine, "begin", refuse)
