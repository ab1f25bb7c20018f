"""The yardstick: the same observations by the driver's own fastest means, into a table of the same keys."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from benchmarks.store.workload import Trainer
from verl_spo.store.bulk import plain
from verl_spo.store.bulk.pgbinary import pack
from verl_spo.store.database.urls import parse, sqlite_path
from verl_spo.store.records import Observations
from verl_spo.store.schema import Observation, table_of

_COLUMNS = [column.name for column in table_of(Observation).columns]
_TYPES = [column.type for column in table_of(Observation).columns]

_CREATE = (
    "CREATE TABLE raw (run_id INTEGER, step BIGINT, attempt INTEGER, seq INTEGER, prompt_id BIGINT, "
    "policy_version BIGINT, reward FLOAT, baseline FLOAT, advantage FLOAT, rho FLOAT, policy_change FLOAT, "
    "alpha FLOAT, beta FLOAT, response_length INTEGER, uid TEXT, finish TEXT, seconds FLOAT, turns INTEGER, "
    "PRIMARY KEY (run_id, step, attempt, seq))"
)
_INDEX = "CREATE INDEX raw_history ON raw (run_id, prompt_id, step)"

Write = Callable[[Sequence[Any]], None]


def rate(url: str, pool: int, batch: int, steps: int) -> float:
    """Observations a second, a transaction per step; making the rows from arrays counts, as it does for the store."""
    made = Trainer(pool, batch)
    batches = [made.record(made.arrays()).observations for _ in range(steps)]
    writing = _sqlite if url.startswith("sqlite") else _postgres
    return batch * steps / writing(url, batches)


def _sqlite(url: str, batches: Sequence[Observations]) -> float:
    connection = sqlite3.connect(f"{sqlite_path(parse(url))}-raw", isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536", "wal_autocheckpoint=10000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"{_CREATE} WITHOUT ROWID")
    connection.execute(_INDEX)
    places = ", ".join("?" * len(_COLUMNS))
    started = time.perf_counter()
    for step, batch in enumerate(batches):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"INSERT INTO raw VALUES ({places})", _rows(step, batch))  # noqa: S608
        connection.execute("COMMIT")
    return time.perf_counter() - started


def _rows(step: int, batch: Observations) -> list[tuple[Any, ...]]:
    return list(zip(*(plain(column) for column in _columns(step, batch)), strict=True))


def _postgres(url: str, batches: Sequence[Observations]) -> float:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS raw")
        connection.execute(_CREATE)
        connection.execute(_INDEX)
        started = time.perf_counter()
        for step, batch in enumerate(batches):
            with connection.cursor().copy("COPY raw FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(pack(_TYPES, _columns(step, batch)))
        return time.perf_counter() - started


def _columns(step: int, batch: Observations) -> list[Any]:
    count = len(batch)
    own: dict[str, Any] = {"run_id": [1] * count, "step": [step] * count, "attempt": [1] * count, "seq": range(count)}
    own["prompt_id"] = batch.slot
    return [own[name] if name in own else getattr(batch, name) for name in _COLUMNS]
