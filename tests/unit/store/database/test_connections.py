"""Which errors may pass."""

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from verl_spo.store.database.connections import is_away, reason


def wrapped(error: Exception) -> DBAPIError:
    made = DBAPIError.instance(None, None, error, psycopg.Error)
    assert isinstance(made, DBAPIError)
    return made


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.errors.DiskFull("no space"),
        psycopg.errors.AdminShutdown("terminating"),
        psycopg.errors.DeadlockDetected("deadlock"),
        psycopg.errors.ReadOnlySqlTransaction("standby"),
    ],
)
def test_trouble_passes(error: Exception) -> None:
    assert is_away(wrapped(error))


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.UniqueViolation("twice"),
        psycopg.errors.UndefinedTable("no such table"),
        psycopg.errors.InsufficientPrivilege("not yours"),
        psycopg.DataError("not a number"),
    ],
)
def test_mistakes_do_not(error: Exception) -> None:
    assert not is_away(wrapped(error))


def test_a_reason_is_one_line_of_the_drivers_own() -> None:
    assert reason(wrapped(psycopg.OperationalError("one\n  two"))) == "one two"
    assert reason(ValueError()) == "ValueError"
