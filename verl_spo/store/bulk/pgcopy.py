"""Postgres in bulk: rows in and out a column at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Connection,
    Double,
    LargeBinary,
    MetaData,
    Select,
    Table,
    and_,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from verl_spo.store.bulk import pgbinary

Columns = Mapping[str, NDArray[Any] | Sequence[Any]]


def insert_columns(connection: Connection, table: Table, columns: Columns) -> None:
    """Insert rows, given by column, in one COPY."""
    with _copying(connection, table, columns, "FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(pgbinary.pack([table.c[name].type for name in columns], list(columns.values())))


def insert_rows(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows, given one by one, in one COPY."""
    with _copying(connection, table, names, "FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def upsert_columns(
    connection: Connection, table: Table, keys: Sequence[str], columns: Mapping[str, Sequence[Any]]
) -> None:
    """Insert rows, given by column, in one statement; those whose `keys` exist take the new values."""
    arrays = [func.unnest(literal(list(values), ARRAY(table.c[name].type))) for name, values in columns.items()]
    statement = postgresql.insert(table).from_select(list(columns), select(*arrays))
    changes = {name: statement.excluded[name] for name in columns if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes))


def temporary(connection: Connection, name: str, *columns: Column[Any]) -> Table:
    """A table of this connection, empty, also where the transaction has used it before."""
    made = Table(name, MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DELETE ROWS")
    connection.execute(CreateTable(made, if_not_exists=True))
    connection.execute(delete(made))
    return made


def update_columns(connection: Connection, table: Table, key: Mapping[str, int], row: str, columns: Columns) -> None:
    """Update the rows of `table` where the `key` columns have the given values, and column `row` that of each row."""
    staged = temporary(connection, f"{table.name}_update", *(Column(name, table.c[name].type) for name in columns))
    insert_columns(connection, staged, columns)
    same = and_(*(table.c[name] == value for name, value in key.items()), table.c[row] == staged.c[row])
    connection.execute(update(table).where(same).values({name: staged.c[name] for name in columns if name != row}))


def read_columns(connection: Connection, query: Select[*tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    """Read a query whose columns are numbers or digests, none of them NULL.

    The server joins each column's values, in its binary format, to one long value: there are no rows to take apart.
    """
    rows = query.subquery()
    joined = [_joined(column) for column in rows.columns]
    compiled = select(*joined).select_from(rows).compile(connection)
    with _driver(connection) as driver:
        values = driver.cursor(binary=True).execute(str(compiled), compiled.params).fetchone()
    return {
        column.key: np.frombuffer(value or b"", dtype=_dtype(column.type)).astype(_dtype(column.type).replace(">", "="))
        for column, value in zip(rows.columns, values, strict=True)
    }


def _joined(column: ColumnElement[Any]) -> ColumnElement[bytes]:
    sent = {"f": func.float8send, "i": func.int8send}.get(_dtype(column.type)[1])
    return func.string_agg(sent(column) if sent else column, func.decode("", "hex"))


def _dtype(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, LargeBinary):
        return f"V{kind.length}"
    return ">f8" if isinstance(kind, Double) else ">i8"


@contextmanager
def _copying(connection: Connection, table: Table, names: Iterable[str], source: str) -> Iterator[Any]:
    preparer = connection.dialect.identifier_preparer
    columns = ", ".join(map(preparer.quote, names))
    with (
        _driver(connection) as driver,
        driver.cursor().copy(f"COPY {preparer.format_table(table)} ({columns}) {source}") as copy,
    ):
        yield copy


@contextmanager
def _driver(connection: Connection) -> Iterator[Any]:
    """psycopg's own connection; its errors become SQLAlchemy's, as those of all other statements do."""
    dbapi: Any = connection.dialect.dbapi
    try:
        yield connection.connection.driver_connection
    except dbapi.Error as error:
        raise DBAPIError.instance(None, None, error, dbapi.Error, hide_parameters=True) from error
