"""Postgres's COPY: rows in and out a column at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Column, Connection, MetaData, Select, Table, and_, update
from sqlalchemy.schema import CreateTable

from verl_spo.store import pgbinary

Columns = Mapping[str, NDArray[Any] | Sequence[Any]]


def insert_columns(connection: Connection, table: Table, columns: Columns) -> None:
    """Insert rows, given by column, in one COPY."""
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(preparer.quote(name) for name in columns)
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {preparer.format_table(table)} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(pgbinary.pack([table.c[name].type for name in columns], list(columns.values())))


def update_columns(connection: Connection, table: Table, key: Mapping[str, int], row: str, columns: Columns) -> None:
    """Update the rows of `table` where the `key` columns have the given values, and column `row` that of each row."""
    staged = Table(
        f"{table.name}_update",
        MetaData(),
        *(Column(name, table.c[name].type) for name in columns),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
    )
    connection.execute(CreateTable(staged, if_not_exists=True))
    insert_columns(connection, staged, columns)
    same = and_(*(table.c[name] == value for name, value in key.items()), table.c[row] == staged.c[row])
    connection.execute(update(table).where(same).values({name: staged.c[name] for name in columns if name != row}))


def read_columns(connection: Connection, query: Select[*tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    """Read a query whose columns are numbers or byte strings of one length, none of them NULL.

    COPY takes no parameters, so the query's must be numbers, which are written into the statement.
    """
    compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY ({compiled}) TO STDOUT (FORMAT BINARY)") as copy:
        data = b"".join(copy)
    return pgbinary.unpack({column.key: column.type for column in query.selected_columns if column.key}, data)
