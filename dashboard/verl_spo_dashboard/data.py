"""What pages have of the store: read once, then only what is new."""

import gc
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import streamlit as st

from verl_spo.config import StoreConfig
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, queries
from verl_spo.store.database.urls import VARIABLE, is_sqlite, parse, sqlite_path
from verl_spo.store.queries import Cursor, Progress, RunRow
from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard import login, series
from verl_spo_dashboard.difficulty_data import Difficulties
from verl_spo_dashboard.overview import Overviews

HEAT_MAP_STEPS = 100


def reader() -> Reader:
    """The database that this server shows, read-only.

    Raises:
        StoreError: It cannot be read.
        SchemaError: Its schema is missing, older or newer.
        SPOError: Who looks at the page must log in, and has not.
    """
    login.check()
    url = os.environ.get(VARIABLE, StoreConfig().url)
    return _open(url, _identity(url))


def awaited_file() -> Path | None:
    """The SQLite file that is not there yet, which the first run makes; None where there is nothing to wait for."""
    login.check()
    url = parse(os.environ.get(VARIABLE, StoreConfig().url))
    return sqlite_path(url) if is_sqlite(url) and not sqlite_path(url).exists() else None


def is_there() -> bool:
    """Whether the database can be read by now."""
    try:
        reader()
    except StoreError:
        return False
    return True


class Curves:
    """Metrics of runs, as far as a page has read them."""

    def __init__(self) -> None:
        self._cursor: Cursor | None = None
        self._points: dict[tuple[int, str], tuple[IntArray, FloatArray]] = {}

    def update(self, database: Reader, run_ids: Sequence[int], names: Sequence[str]) -> None:
        """Read what is new."""
        page = queries.metric_series(database, run_ids, names, self._cursor)
        self._cursor = page.cursor
        self._points = {key: points for key, points in self._points.items() if key[0] not in page.restarted}
        for new in page.series:
            steps, values = self.points(new.run_id, new.name)
            self._points[new.run_id, new.name] = np.append(steps, new.steps), np.append(values, new.values)

    @property
    def names(self) -> list[str]:
        """Metrics that any of the runs has, sorted."""
        return sorted({name for _, name in self._points})

    def points(self, run_id: int, name: str) -> tuple[IntArray, FloatArray]:
        """Steps and values, (n,) each; empty for a metric that the run does not have."""
        return self._points.get((run_id, name), (np.empty(0, dtype=np.int64), np.empty(0)))


class Places:
    """How far runs were at each step, as far as a page has read it: where their curves' points stand."""

    def __init__(self) -> None:
        self._of: dict[int, Progress] = {}

    def update(self, database: Reader, run: RunRow) -> None:
        """Read what is new."""
        known = self._of.get(run.id)
        if known is not None and known.steps.size:
            new = queries.progress(database, run.id, int(known.steps[-1]))
            if known.attempt == new.attempt:
                self._of[run.id] = _appended(known, new)
                return
        # A resume takes steps back, of which some may have been made again by now.
        self._of[run.id] = queries.progress(database, run.id, -1)

    def trajectories(self, run_id: int, steps: IntArray) -> FloatArray:
        """Trajectories that a run had seen by some steps, (n,)."""
        known = self._of[run_id]
        return _interpolated(steps, known.steps, np.cumsum(known.trajectories).astype(np.float64))

    def hours(self, run_id: int, steps: IntArray) -> FloatArray:
        """Hours from a run's first row to some steps, pauses between its attempts included, (n,)."""
        known = self._of[run_id]
        return _interpolated(steps, known.steps, (known.times - known.times[:1]) / 3600)


def _appended(known: Progress, new: Progress) -> Progress:
    columns = {name: np.append(getattr(known, name), getattr(new, name)) for name in ("steps", "times", "trajectories")}
    return Progress(new.attempt, **columns)


def _interpolated(steps: IntArray, known: IntArray, values: FloatArray) -> FloatArray:
    return np.interp(steps, known, values) if known.size else np.full(steps.size, np.nan)


class Distributions:
    """Histograms of v_hat over the pool, by step, as far as a page has read them; of long runs one of several steps."""

    def __init__(self) -> None:
        self._attempts: dict[int, int] = {}
        self._rows: dict[int, list[tuple[int, list[int]]]] = {}

    def update(self, database: Reader, run: RunRow) -> None:
        """Read what is new."""
        if self._attempts.get(run.id) != run.attempt:
            self._attempts[run.id], self._rows[run.id] = run.attempt, []
        stride = series.stride_for(run.last_step - run.begins_after, HEAT_MAP_STEPS)
        rows = [row for row in self._rows[run.id] if row[0] % stride == 0]
        after = rows[-1][0] if rows else -1
        new = queries.step_summaries(database, run.id, after_step=after, stride=stride)
        self._rows[run.id] = rows + [(row.step, row.value_histogram) for row in new if row.value_histogram]

    def shares(self, run_id: int) -> tuple[IntArray, FloatArray]:
        """Steps (n,) and the share of the pool in each bin of v_hat at them, (n, bins)."""
        rows = self._rows.get(run_id, [])
        steps = np.array([step for step, _ in rows], dtype=np.int64)
        if not rows:
            return steps, np.empty((0, 0))
        counts = np.array([counts for _, counts in rows], dtype=np.float64)
        return steps, counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


@dataclass
class Held:
    """What one browser tab has read of one database."""

    database: Reader
    curves: Curves = field(default_factory=Curves)
    distributions: Distributions = field(default_factory=Distributions)
    places: Places = field(default_factory=Places)
    overviews: Overviews = field(default_factory=Overviews)
    system: Curves = field(default_factory=Curves)
    difficulties: Difficulties = field(default_factory=Difficulties)


def held(database: Reader) -> Held:
    """What this tab has read so far; nothing yet if the database is another one than before."""
    present = st.session_state.get("held")
    if not isinstance(present, Held) or present.database is not database:
        present = st.session_state["held"] = Held(database)
    return present


def by_names(runs: Iterable[RunRow], names: Iterable[str]) -> list[RunRow]:
    """The runs of some names, in the names' order; names that no run has are passed over."""
    named = {run.name: run for run in runs}
    return [named[name] for name in names if name in named]


@st.cache_resource(max_entries=1, show_spinner=False, on_release=Reader.close)
def _open(url: str, identity: tuple[int, int] | None) -> Reader:
    opened = open_reader(url)
    # Python's whole collections, for which all readers wait, pass over what is there from the start.
    gc.freeze()
    return opened


def _identity(url: str) -> tuple[int, int] | None:
    """What tells a database file from another one that was put in its place."""
    parsed = parse(url)
    path = sqlite_path(parsed) if is_sqlite(parsed) else None
    if path is None or not path.is_file():
        return None
    status = path.stat()
    return status.st_dev, status.st_ino
