"""Metrics: series of several runs, from the beginning or from where a page stands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, select, union_all

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import kept_through
from verl_spo.store.records import FloatArray, IntArray
from verl_spo.store.schema import Metric, Series
from verl_spo.store.text import clean

_SERIES_A_QUERY = 100


@dataclass(frozen=True)
class MetricSeries:
    """One metric of one run: `steps` (n,) ascending and `values` (n,), NaN included."""

    run_id: int
    name: str
    steps: IntArray
    values: FloatArray


@dataclass(frozen=True)
class Cursor:
    """Where a page stands: each run's attempt, and the last step that it has of each run and metric."""

    attempts: Mapping[int, int] = field(default_factory=dict)
    steps: Mapping[tuple[int, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricPage:
    """What is new since a cursor.

    Attributes:
        series: One a run and metric that has something new.
        cursor: For the next call.
        restarted: Runs that began anew or were resumed meanwhile: what a page has of them is void, and all of it is in
            `series` again.
    """

    series: tuple[MetricSeries, ...]
    cursor: Cursor
    restarted: frozenset[int]


def metric_names(reader: Reader, run_ids: Iterable[int]) -> list[str]:
    """Names of the metrics that any of the runs has."""
    query = select(Series.name).where(Series.run_id.in_(list(run_ids)))
    with reader.connect() as connection:
        return sorted(set(connection.execute(query).scalars()))


def metric_series(
    reader: Reader,
    run_ids: Sequence[int],
    names: Sequence[str],
    cursor: Cursor | None = None,
    limit: int = 100_000,
) -> MetricPage:
    """Metrics of runs, those that are new since the cursor.

    Args:
        reader: The database.
        run_ids: Whose.
        names: Which.
        cursor: What the last call returned; None for everything.
        limit: Points a series; the next call continues.
    """
    cursor = cursor or Cursor()
    with reader.connect() as connection:
        kept = {run_id: kept_through(connection, run_id) for run_id in run_ids}
        present = {run_id: max(attempts) for run_id, attempts in kept.items() if attempts}
        restarted = {run for run, attempt in present.items() if cursor.attempts.get(run, attempt) != attempt}
        steps = {key: step for key, step in cursor.steps.items() if key[0] not in restarted}
        found = _read(connection, _wanted(connection, run_ids, names), steps, limit)
    series: list[MetricSeries] = []
    for (run_id, name), (at, attempts, values) in found.items():
        steps[run_id, name] = int(at[-1])
        counts = at <= np.array([kept[run_id].get(int(attempt), np.inf) for attempt in attempts])
        series.append(MetricSeries(run_id, name, at[counts], values[counts]))
    return MetricPage(tuple(series), Cursor({**cursor.attempts, **present}, steps), frozenset(restarted))


def _wanted(connection: Connection, run_ids: Sequence[int], names: Sequence[str]) -> dict[int, tuple[int, str]]:
    wanted = (Series.run_id.in_(run_ids), Series.name.in_(list(map(clean, names))))
    query = select(Series.id, Series.run_id, Series.name).where(*wanted)
    return {row.id: (row.run_id, row.name) for row in connection.execute(query)}


def _read(
    connection: Connection, wanted: Mapping[int, tuple[int, str]], after: Mapping[tuple[int, str], int], limit: int
) -> dict[tuple[int, str], tuple[IntArray, IntArray, FloatArray]]:
    rows: dict[int, list[tuple[int, int, float | None]]] = {}
    numbers = list(wanted)
    for start in range(0, len(numbers), _SERIES_A_QUERY):
        queries = [_points(n, after.get(wanted[n], -1), limit) for n in numbers[start : start + _SERIES_A_QUERY]]
        for series_id, step, attempt, value in connection.execute(union_all(*queries)):
            rows.setdefault(series_id, []).append((step, attempt, value))
    return {wanted[series_id]: _columns(points) for series_id, points in rows.items()}


def _points(series_id: int, after: int, limit: int) -> Select[*tuple[Any, ...]]:
    newest = (
        select(Metric.series_id, Metric.step, Metric.attempt, Metric.value)
        .where(Metric.series_id == series_id, Metric.step > after)
        .order_by(Metric.series_id, Metric.step, Metric.attempt)
        .limit(limit)
        .subquery()
    )
    return select(newest)


def _columns(points: list[tuple[int, int, float | None]]) -> tuple[IntArray, IntArray, FloatArray]:
    steps, attempts, values = zip(*points, strict=True)
    return np.array(steps, dtype=np.int64), np.array(attempts, dtype=np.int64), np.array(values, dtype=np.float64)
