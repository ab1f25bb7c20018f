"""The start of a run, which takes minutes: registered by its launcher before a trainer holds the run.

A run that exists keeps its owner, its status and its history until its trainer claims it: a start that fails takes
nothing from it.
"""

import time
from typing import Any

from sqlalchemy import Connection, Engine, insert, update

from verl_spo.store.runs import claims
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Run
from verl_spo.store.text import clean


def begin(engine: Engine, name: str, starter: str, phase: str) -> None:
    """Register that a launcher, named as `owners.new_owner` names a writer, starts a run; it may be new.

    Raises:
        StoreError: A live process starts, writes, imports or deletes the run.
    """
    now = time.time()
    start = {"starter": starter, "starting_at": now, "phase": phase}
    with engine.begin() as connection:
        claims.take_turns(connection)
        present = claims.lock(connection, name)
        if present is None:
            connection.execute(insert(Run).values(**_unclaimed(name, now), **start))
        else:
            claims.check_free(present)
            connection.execute(update(Run).where(Run.id == present.id).values(**start))


def beat(engine: Engine, name: str, starter: str) -> bool:
    """Give a sign of life of a start; False once it is over."""
    with engine.begin() as connection:
        run = _started(connection, name, starter)
        if run is None or run.starting_at is None:
            return False
        _change(connection, run, starting_at=time.time())
    return True


def report(engine: Engine, name: str, starter: str, phase: str) -> None:
    """Say what a run does, before its trainer claims it and after, until its first step ends."""
    with engine.begin() as connection:
        if (run := _started(connection, name, starter)) is not None:
            _change(connection, run, phase=clean(phase))


def end(engine: Engine, name: str, starter: str, error: str | None) -> None:
    """Note that the processes of a start are gone, and why they failed if they did.

    What says that the run starts or trains says so no more. A run that another launcher has started since, and what an
    earlier attempt left, stay as they are.
    """
    with engine.begin() as connection:
        if (run := _started(connection, name, starter)) is None:
            return
        changes: dict[str, Any] = {"starting_at": None}
        was_claimed = run.starting_at is None
        if error is not None and not (was_claimed and run.status == Status.FINISHED):
            changes["error"] = clean(error)
        if run.status == (Status.RUNNING if was_claimed else Status.STARTING):
            changes["status"] = Status.STOPPED if error is None else Status.FAILED
            changes["ended_at"] = run.starting_at or run.heartbeat_at
        _change(connection, run, **changes)


def _started(connection: Connection, name: str, starter: str) -> Run | None:
    """The run, locked, if this launcher was the last to start it."""
    run = claims.lock(connection, name)
    return run if run is not None and run.starter == starter else None


def _change(connection: Connection, run: Run, **changes: Any) -> None:
    connection.execute(update(Run).where(Run.id == run.id).values(**changes))


def _unclaimed(name: str, now: float) -> dict[str, Any]:
    """A run of which nothing is known but its name."""
    return {
        "name": clean(name),
        "uid": "",
        "status": Status.STARTING,
        "attempt": 0,
        "owner": "",
        "applied": 0,
        "created_at": now,
        "heartbeat_at": now,
        "last_step": 0,
        "clock": 0.0,
        "pool_size": 0,
        "pool_digest": b"",
        "rollout_bytes": 0,
        "tags": [],
    }
