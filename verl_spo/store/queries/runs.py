"""Runs: the list with each one's status, and all about one."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from verl_spo.errors import StoreError
from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.rows import columns_of
from verl_spo.store.runs import owners
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Attempt, Run
from verl_spo.store.text import clean

_GOING_ON = (Status.STARTING, Status.RUNNING)


@dataclass(frozen=True)
class RunRow:
    """A run.

    Attributes:
        status: As the column has it, but for STARTING and LOST.
        attempt: The present one, from 1; more than 1 if it was resumed or started anew, 0 before a trainer has held it.
        heartbeat_at: Last sign of life of who trains or starts it.
        last_step: 0 before the first.
        clock: Event time that its evidence has aged to.
        pool_size: Prompts.
        parent_uid: Of the run that it branched from; None if it began by itself.
        parent_name: That run's name then.
        parent_step: That of the checkpoint; the run's own steps follow it.
        phase: What it does before the attempt's first step has ended; None from then on, and when it is over.
        error: Why its last start or attempt failed; None while another one goes on.
        starting_at: Last sign of life of who starts it; None where nobody does.
    """

    id: int
    name: str
    uid: str
    status: Status
    attempt: int
    created_at: float
    heartbeat_at: float
    ended_at: float | None
    last_step: int
    clock: float
    pool_size: int
    rollout_bytes: int
    tags: tuple[str, ...]
    parent_uid: str | None = None
    parent_name: str | None = None
    parent_step: int | None = None
    phase: str | None = None
    error: str | None = None
    starting_at: float | None = None

    @property
    def begins_after(self) -> int:
        """The step before its first one."""
        return self.parent_step or 0


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
        """The present attempt's configuration; empty before the first."""
        return self.attempts[-1].config if self.attempts else {}


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
    query = select(*columns_of(Run, RunRow)).order_by(Run.created_at.desc(), Run.id.desc())
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
        row = connection.execute(select(*columns_of(Run, RunRow)).where(Run.name == clean(name))).one_or_none()
        if row is None:
            return None
        attempts: Select[*tuple[Any, ...]] = (
            select(*columns_of(Attempt, AttemptRow)).where(Attempt.run_id == row.id).order_by(Attempt.attempt)
        )
        return RunDetail(_row(row), tuple(AttemptRow(**found._mapping) for found in connection.execute(attempts)))


def _row(row: Any) -> RunRow:
    status = _status(row)
    shown = {
        "status": status,
        "tags": tuple(row.tags),
        "heartbeat_at": max(row.heartbeat_at, row.starting_at or 0.0),
        "phase": row.phase if status in _GOING_ON else None,
        "error": None if status in _GOING_ON else row.error,
    }
    return RunRow(**{**row._mapping, **shown})


def _status(row: Any) -> Status:
    if row.starting_at is not None and owners.is_fresh(row.starting_at):
        return Status.STARTING
    silent = row.status in (Status.STARTING, Status.RUNNING) and not owners.is_fresh(row.heartbeat_at)
    return Status.LOST if silent else Status(row.status)


def _suggestion(name: str, names: list[str]) -> str:
    if not names:
        return "it has no runs yet"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or sorted(names)[:5]
    return f"there is {', '.join(map(repr, close))}"
