"""Runs: the list with each one's status, and all about one."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from verl_spo.errors import StoreError
from verl_spo.store import ownership
from verl_spo.store.reader import Reader
from verl_spo.store.schema import Attempt, Run
from verl_spo.store.text import clean

_COLUMNS = (
    Run.id, Run.name, Run.uid, Run.status, Run.attempt, Run.created_at, Run.heartbeat_at, Run.ended_at, Run.last_step,
    Run.clock, Run.pool_size, Run.rollout_bytes, Run.tags,
)  # fmt: skip


@dataclass(frozen=True)
class RunRow:
    """A run.

    Attributes:
        status: running, finished, failed, stopped, imported, importing, deleting, or lost: it says that it runs, but
            gave no sign of life for longer than a lease.
        attempt: The present one, from 1; more than 1 if it was resumed or started anew.
        last_step: 0 before the first.
        clock: Event time that its evidence has aged to.
        pool_size: Prompts.
    """

    id: int
    name: str
    uid: str
    status: str
    attempt: int
    created_at: float
    heartbeat_at: float
    ended_at: float | None
    last_step: int
    clock: float
    pool_size: int
    rollout_bytes: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class AttemptRow:
    """One start of a run; rows of it beyond step `kept_through` are superseded, none if that is None."""

    attempt: int
    started_at: float
    resumed_from: int | None
    kept_through: int | None
    host: str
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    git: Mapping[str, Any] | None


@dataclass(frozen=True)
class RunDetail:
    """A run with its attempts, oldest first."""

    run: RunRow
    attempts: tuple[AttemptRow, ...]

    @property
    def config(self) -> Mapping[str, Any]:
        """The present attempt's configuration."""
        return self.attempts[-1].config


def runs(
    reader: Reader, search: str = "", tag: str | None = None, limit: int = 1000, ids: Sequence[int] | None = None
) -> list[RunRow]:
    """Runs, newest first.

    Args:
        reader: The database.
        search: Part of the name, in any case.
        tag: Only runs that have it.
        limit: At most so many.
        ids: Only these.
    """
    query = select(*_COLUMNS).order_by(Run.created_at.desc(), Run.id.desc())
    if ids is not None:
        query = query.where(Run.id.in_(ids))
    found: list[RunRow] = []
    with reader.connect() as connection:
        for row in map(_row, connection.execute(query)):
            if search.lower() in row.name.lower() and (tag is None or tag in row.tags):
                found.append(row)
            if len(found) == limit:
                break
    return found


def run(reader: Reader, name: str) -> RunDetail:
    """All about a run.

    Raises:
        StoreError: There is none of this name.
    """
    if (found := find_run(reader, name)) is not None:
        return found
    with reader.connect() as connection:
        names = connection.execute(select(Run.name)).scalars().all()
    raise StoreError(f"run {name!r}: not in {reader}; {_suggestion(name, list(names))}")


def find_run(reader: Reader, name: str) -> RunDetail | None:
    """All about a run; None if there is none of this name."""
    with reader.connect() as connection:
        row = connection.execute(select(*_COLUMNS).where(Run.name == clean(name))).one_or_none()
        if row is None:
            return None
        attempts: Select[*tuple[Any, ...]] = (
            select(*(Attempt.__table__.c[field] for field in AttemptRow.__annotations__))
            .where(Attempt.run_id == row.id)
            .order_by(Attempt.attempt)
        )
        return RunDetail(_row(row), tuple(AttemptRow(**found._mapping) for found in connection.execute(attempts)))


def _row(row: Any) -> RunRow:
    values = dict(row._mapping)
    if values["status"] == "running" and not ownership.is_fresh(values["heartbeat_at"]):
        values["status"] = "lost"
    return RunRow(**{**values, "tags": tuple(values["tags"])})


def _suggestion(name: str, names: list[str]) -> str:
    if not names:
        return "it has no runs yet"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)[:5]
    return f"there is {', '.join(map(repr, close))}"
