"""Many rows at once: COPY on Postgres, prepared statements on SQLite. NaN is stored as NULL."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Double, LargeBinary, Select, Table, bindparam, insert, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from verl_spo.store.bulk import pgcopy

Columns = Mapping[str, NDArray[Any] | Sequence[Any]]


def insert_columns(connection: Connection, table: Table, columns: Columns) -> None:
    """Insert rows, given by column; a scalar column is written (n,) times by `np.full`."""
    if connection.dialect.name == "postgresql":
        pgcopy.insert_columns(connection, table, columns)
        return
    _execute_many(connection, insert(table), columns)


def insert_rows(connection: Connection, table: Table, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows, given one by one, for columns whose values differ much in length; JSON comes as text."""
    if connection.dialect.name == "postgresql":
        pgcopy.insert_rows(connection, table, names, rows)
        return
    statement = insert(table).compile(connection, column_keys=list(names))
    order = [names.index(name) for name in statement.positiontup or ()]
    if values := [tuple(row[place] for place in order) for row in rows]:
        connection.exec_driver_sql(str(statement), values)


def upsert_columns(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert rows, given by column; those whose primary key exists take the new values. A key occurs once."""
    keys = [column.name for column in table.primary_key]
    if connection.dialect.name == "postgresql":
        pgcopy.upsert_columns(connection, table, keys, columns)
        return
    statement = sqlite.insert(table)
    changes = {name: statement.excluded[name] for name in columns if name not in keys}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if rows:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), rows)


def update_columns(connection: Connection, table: Table, key: Mapping[str, int], row: str, columns: Columns) -> None:
    """Update rows that exist: those where the `key` columns have the given values, and column `row` that of its row."""
    if connection.dialect.name == "postgresql":
        pgcopy.update_columns(connection, table, key, row, columns)
        return
    statement = update(table).values({name: bindparam(f"new_{name}") for name in columns if name != row})
    for name in key:
        statement = statement.where(table.c[name] == bindparam(f"key_{name}"))
    statement = statement.where(table.c[row] == bindparam(f"key_{row}"))
    count = len(columns[row])
    parameters = {f"new_{name}": values for name, values in columns.items() if name != row}
    parameters |= {f"key_{name}": [value] * count for name, value in key.items()}
    parameters[f"key_{row}"] = columns[row]
    _execute_many(connection, statement, parameters)


def _execute_many(connection: Connection, statement: Any, columns: Columns) -> None:
    """Run a statement once a row, without a dictionary a row: half of the time would go there."""
    compiled = statement.compile(connection, column_keys=list(columns))
    rows = list(zip(*(plain(columns[name]) for name in compiled.positiontup), strict=True))
    if rows:
        connection.exec_driver_sql(str(compiled), rows)


def plain(values: NDArray[Any] | Sequence[Any]) -> list[Any]:
    """A column as Python values, NaN as None."""
    if not isinstance(values, np.ndarray):
        return list(values)
    if values.dtype.kind == "f" and np.isnan(values).any():
        return np.where(np.isnan(values), None, values).tolist()  # type: ignore[call-overload, no-any-return]
    return values.tolist()  # type: ignore[no-any-return]


def read_columns(connection: Connection, query: Select[*tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    """Read a query whose columns are numbers or digests, none of them NULL: a million rows in about a second."""
    if connection.dialect.name == "postgresql":
        return pgcopy.read_columns(connection, query)
    dtype = np.dtype([(column.key or "", _dtype(column.type)) for column in query.selected_columns])
    cursor: Any = connection.execute(query).cursor
    rows = np.fromiter(cursor, dtype=dtype)
    return {name: np.ascontiguousarray(rows[name]) for name in dtype.names or ()}


def _dtype(kind: TypeEngine[Any]) -> str:
    if isinstance(kind, LargeBinary):
        return f"V{kind.length}"
    return "f8" if isinstance(kind, Double) else "i8"
