"""How large the database is, in moments: no table is counted."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from verl_spo.store.database.reader import Reader
from verl_spo.store.schema import (
    Base,
    Evaluation,
    Metric,
    Observation,
    Run,
    Sample,
    Series,
    StepSummary,
    TrackerState,
    prompt_search,
    table_of,
)


@dataclass(frozen=True)
class TableEstimate:
    """A table: about how many rows it has, None where nobody can say cheaply, and its bytes with indexes, likewise."""

    name: str
    rows: int | None
    bytes: int | None


@dataclass(frozen=True)
class DatabaseSize:
    """A database: its version, its bytes, its tables by name, and the bytes of compressed text that all runs keep."""

    version: str
    bytes: int
    tables: tuple[TableEstimate, ...]
    text_bytes: int


def database_size(reader: Reader) -> DatabaseSize:
    """How large the database is.

    Rows are what Postgres's own statistics say; on SQLite the largest row id, or what the runs have written, as their
    rows tell: what was pruned since counts.
    """
    with reader.connect() as connection:
        texts = connection.execute(select(func.coalesce(func.sum(Run.rollout_bytes), 0))).scalar_one()
        tables = _postgres_tables(connection) if reader.dialect == "postgresql" else _sqlite_tables(connection)
        return DatabaseSize(_version(connection), _bytes(connection), tables, int(texts))


def _version(connection: Connection) -> str:
    """Such as `SQLite 3.46.1`."""
    if connection.dialect.name == "sqlite":
        return f"SQLite {connection.execute(select(func.sqlite_version())).scalar_one()}"
    return f"PostgreSQL {connection.exec_driver_sql('SHOW server_version').scalar_one()}"


def _postgres_tables(connection: Connection) -> tuple[TableEstimate, ...]:
    # A table that was never analysed has -1 rows.
    query = text(
        "SELECT relname, reltuples, pg_total_relation_size(oid) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace) AND relname = ANY(:names)"
    )
    found = connection.execute(query, {"names": [table.name for table in Base.metadata.sorted_tables]})
    estimates = (TableEstimate(name, None if rows < 0 else int(rows), int(size)) for name, rows, size in found)
    return tuple(sorted(estimates, key=lambda table: table.name))


def _sqlite_tables(connection: Connection) -> tuple[TableEstimate, ...]:
    written = _written(connection)
    return tuple(
        TableEstimate(table.name, _rows(connection, table.name, written), None)
        for table in sorted(Base.metadata.sorted_tables, key=lambda table: table.name)
        if table is not prompt_search
    )


def _rows(connection: Connection, table: str, written: dict[str, int]) -> int | None:
    if table in written:
        return written[table]
    if not _is_numbered(table):
        return None
    return int(connection.exec_driver_sql(f"SELECT coalesce(max(rowid), 0) FROM {table}").scalar_one())  # noqa: S608


def _is_numbered(name: str) -> bool:
    """Whether SQLite numbers the rows of a table."""
    return bool(Base.metadata.tables[name].dialect_options["sqlite"]["with_rowid"])


def _written(connection: Connection) -> dict[str, int]:
    """About how many rows the runs have written of what SQLite does not number."""
    own_steps = Run.last_step - func.coalesce(Run.parent_step, 0)
    last = (StepSummary.run_id == Run.id) & (StepSummary.step == Run.last_step)
    per_step = select(func.max(StepSummary.observations)).where(last).scalar_subquery()
    series = select(func.count()).where(Series.run_id == Run.id).scalar_subquery()
    samples = select(func.coalesce(func.sum(Evaluation.problems * Evaluation.wanted), 0))
    sums = (func.sum(Run.pool_size), func.sum(own_steps), func.sum(own_steps * per_step), func.sum(own_steps * series))
    found = connection.execute(select(*(func.coalesce(each, 0) for each in sums))).one()
    names = (TrackerState, StepSummary, Observation, Metric)
    rows = {table_of(model).name: int(count) for model, count in zip(names, found, strict=True)}
    return {**rows, table_of(Sample).name: int(connection.execute(samples).scalar_one())}


def _bytes(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    return int(connection.execute(select(func.pg_database_size(func.current_database()))).scalar_one())
