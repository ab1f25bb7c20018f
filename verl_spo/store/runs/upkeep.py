"""Looking after a database: what it holds, what may go, and giving the space back."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    case,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    tuple_,
    update,
)

from verl_spo.store.database.connections import reaching
from verl_spo.store.database.reader import Reader
from verl_spo.store.runs import claims
from verl_spo.store.schema import (
    OF_EVALUATIONS,
    Attempt,
    Base,
    Evaluation,
    Metric,
    Observation,
    Rollout,
    Run,
    SampleText,
    Series,
    StepSummary,
    prompt_search,
    table_of,
)

Targets = list[tuple[Table, ColumnElement[bool]]]
"""Rows that shall go: a table, and which of its rows."""

_ROWS_A_TRANSACTION = 50_000


@dataclass(frozen=True)
class TableSize:
    """A table's rows."""

    name: str
    rows: int


@dataclass(frozen=True)
class RunSize:
    """What a run holds: observations, how many of them are superseded, and bytes of compressed text."""

    name: str
    observations: int
    superseded: int
    rollout_bytes: int


@dataclass(frozen=True)
class Stats:
    """A database's size in bytes, and what it consists of."""

    size: int
    tables: tuple[TableSize, ...]
    runs: tuple[RunSize, ...]


@dataclass(frozen=True)
class Prunable:
    """Rows that a policy lets go, by table, and the bytes of text among them."""

    rows: dict[str, int]
    rollout_bytes: int


@dataclass(frozen=True)
class Policy:
    """What may go.

    Attributes:
        run_ids: Of which runs.
        superseded: Observations, texts, metrics, summaries and evaluations that no longer count.
        keep_rollouts: Texts, of evaluations too, of steps other than the last so many of each run; None keeps all.
    """

    run_ids: Sequence[int]
    superseded: bool = False
    keep_rollouts: int | None = None


def stats(reader: Reader) -> Stats:
    """Count everything: reads all of the database, so seconds for millions of rows."""
    with reader.connect() as connection:
        tables = tuple(
            TableSize(table.name, int(connection.execute(select(func.count()).select_from(table)).scalar_one()))
            for table in Base.metadata.sorted_tables
            if table is not prompt_search
        )
        return Stats(_size(connection), tables, tuple(_run_sizes(connection)))


def prunable(engine: Engine, policy: Policy) -> Prunable:
    """What `prune` would delete."""
    with engine.connect() as connection:
        targets = _targets(connection, policy)
        # A row may have several reasons to go.
        tables = dict.fromkeys(table for table, _ in targets)
        going = {table: or_(*(condition for other, condition in targets if other is table)) for table in tables}
        rows = {
            table.name: int(connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one())
            for table, condition in going.items()
        }
        texts = going.get(table_of(Rollout), false())
        size = select(func.coalesce(func.sum(Rollout.size), 0)).where(texts)
        return Prunable(rows, int(connection.execute(size).scalar_one()))


def prune(engine: Engine, policy: Policy) -> None:
    """Delete what the policy lets go, a bounded number of rows a transaction."""
    with engine.connect() as connection:
        targets = _targets(connection, policy)
    for table, condition in targets:
        delete_in_parts(engine, table, condition)
    for run_id in policy.run_ids:
        with engine.begin() as connection:
            kept = select(func.coalesce(func.sum(Rollout.size), 0)).where(Rollout.run_id == run_id).scalar_subquery()
            connection.execute(update(Run).where(Run.id == run_id).values(rollout_bytes=kept))
            without = and_(Evaluation.run_id == run_id, ~exists().where(SampleText.evaluation_id == Evaluation.id))
            connection.execute(update(Evaluation).where(without).values(text_bytes=0))


def delete_evaluations(engine: Engine, ids: Sequence[int], texts_only: bool = False) -> None:
    """Delete evaluations, or only their texts, a bounded number of rows a transaction.

    Args:
        engine: The database.
        ids: Of the evaluations, of runs or of models of no run.
        texts_only: Whether samples, verdicts and the evaluations themselves stay.
    """
    which = Evaluation.id.in_(ids)
    for table, condition in _of_evaluations(which, (SampleText,) if texts_only else OF_EVALUATIONS):
        delete_in_parts(engine, table, condition)
    with engine.begin() as connection:
        change = update(Evaluation).values(text_bytes=0) if texts_only else delete(Evaluation)
        connection.execute(change.where(which))


def delete_in_parts(
    engine: Engine, table: Table, condition: ColumnElement[bool], claim: claims.Claim | None = None
) -> None:
    """Delete rows, so many at a time that no other writer waits long; only as long as the claim holds, if any."""
    key = tuple_(*table.primary_key)
    some = select(*table.primary_key).where(condition).limit(_ROWS_A_TRANSACTION)
    deleted = 1
    while deleted:
        with engine.begin() as connection:
            if claim is not None:
                claims.beat(connection, claim)
            deleted = connection.execute(delete(table).where(key.in_(some))).rowcount


def vacuum(engine: Engine) -> None:
    """Give the space of deleted rows back; SQLite rewrites the file, and needs room and nobody else for that."""
    # Neither database vacuums in a transaction, and this one begins none.
    with reaching(engine.url), closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        if engine.dialect.name == "sqlite":
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.driver_connection.autocommit = True  # type: ignore[union-attr]
            cursor.execute("VACUUM (ANALYZE)")


def _targets(connection: Connection, policy: Policy) -> Targets:
    targets: Targets = []
    runs = connection.execute(select(Run.id, Run.last_step).where(Run.id.in_(policy.run_ids)))
    for run_id, last_step in runs.all():
        if policy.superseded:
            targets += _superseded(connection, run_id)
        if policy.keep_rollouts is not None:
            old = and_(Rollout.run_id == run_id, Rollout.step <= last_step - policy.keep_rollouts)
            targets.append((table_of(Rollout), old))
            earlier = and_(Evaluation.run_id == run_id, Evaluation.step <= last_step - policy.keep_rollouts)
            targets += _of_evaluations(earlier, (SampleText,))
    return targets


def _of_evaluations(which: ColumnElement[bool], models: Iterable[type[Base]]) -> Targets:
    """Rows of some evaluations in the tables that belong to them."""
    ids = select(Evaluation.id).where(which)
    return [(table, table.c.evaluation_id.in_(ids)) for table in map(table_of, models)]


def _superseded(connection: Connection, run_id: int) -> Targets:
    targets: Targets = []
    ended = select(Attempt.attempt, Attempt.kept_through).where(Attempt.run_id == run_id)
    for attempt, kept in connection.execute(ended.where(Attempt.kept_through.is_not(None))):
        gone = and_(Evaluation.run_id == run_id, Evaluation.attempt == attempt, Evaluation.step > kept)
        targets += _of_evaluations(gone, OF_EVALUATIONS)
        for table in map(table_of, (Observation, Rollout, StepSummary, Evaluation)):
            targets.append((table, and_(table.c.run_id == run_id, table.c.attempt == attempt, table.c.step > kept)))
        series = Metric.series_id.in_(select(Series.id).where(Series.run_id == run_id))
        targets.append((table_of(Metric), and_(series, Metric.attempt == attempt, Metric.step > kept)))
    return targets


def _run_sizes(connection: Connection) -> list[RunSize]:
    stale = and_(Attempt.kept_through.is_not(None), StepSummary.step > Attempt.kept_through)
    query = (
        select(
            Run.name,
            func.coalesce(func.sum(StepSummary.observations), 0),
            func.coalesce(func.sum(case((stale, StepSummary.observations), else_=0)), 0),
            Run.rollout_bytes,
        )
        .outerjoin(StepSummary, StepSummary.run_id == Run.id)
        .outerjoin(Attempt, and_(Attempt.run_id == StepSummary.run_id, Attempt.attempt == StepSummary.attempt))
        .group_by(Run.id, Run.name, Run.rollout_bytes)
        .order_by(Run.name)
    )
    return [RunSize(name, int(total), int(stale), size) for name, total, stale, size in connection.execute(query)]


def _size(connection: Connection) -> int:
    if connection.dialect.name == "sqlite":
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    return int(connection.execute(select(func.pg_database_size(func.current_database()))).scalar_one())
