"""Holding a run: claimed by one process at a time, and reconciled with the checkpoint that it resumes from."""

import logging
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, text, update

from verl_spo.errors import StoreError
from verl_spo.store import tracker
from verl_spo.store.database.urls import without_secrets
from verl_spo.store.records import IntArray, RunInfo, TrackerRows
from verl_spo.store.runs import owners
from verl_spo.store.runs.status import HELD, Status
from verl_spo.store.schema import Attempt, InitScore, Run, table_of
from verl_spo.store.text import clean

_log = logging.getLogger(__name__)

# Arbitrary; processes that claim runs at the same time take turns.
_LOCK = 7_310_417_265


class OwnershipLostError(StoreError):
    """Another process has taken the run over."""


@dataclass(frozen=True)
class Claim:
    """The right to change a run's rows, until another process takes it over."""

    run_id: int
    attempt: int
    owner: str


def claim(
    connection: Connection,
    run: RunInfo,
    ids: IntArray,
    rows: TrackerRows,
    clock: float,
    resume_step: int | None,
    keep_scores: bool = False,
) -> Claim:
    """Begin an attempt: a new run, or one more of a run that no live process holds.

    What the database has beyond `resume_step` is superseded, and the tracker's rows are made equal to `rows`. A run
    that begins anew loses its scores from before training, which are of no attempt, unless they are to be kept.

    Raises:
        StoreError: A live process holds the run, or the checkpoint is of another run of the same name.
    """
    take_turns(connection)
    now, owner = time.time(), owners.new_owner()
    present = lock(connection, run.name)
    state = {
        "uid": run.uid,
        "status": Status.RUNNING,
        "owner": owner,
        "applied": 0,
        "heartbeat_at": now,
        "ended_at": None,
        "last_step": run.begins_after if resume_step is None else resume_step,
        "clock": clock,
        "pool_size": len(ids),
        "pool_digest": run.pool_digest,
        **_parent(run),
        "starter": run.starter,
        "starting_at": None,
        "phase": None,
        "error": None,
    }
    if present is None:
        name = clean(run.name)
        fresh = {"name": name, "attempt": 1, "created_at": now, "rollout_bytes": 0, "tags": []}
        run_id = connection.execute(insert(Run).values(**state, **fresh).returning(Run.id)).scalar_one()
        claimed = Claim(run_id, 1, owner)
    else:
        _check_resumable(present, run, resume_step)
        _tell_gap(present, resume_step)
        claimed = Claim(present.id, present.attempt + 1, owner)
        connection.execute(update(Run).where(Run.id == present.id).values(**state, attempt=claimed.attempt))
        _supersede(connection, present.id, -1 if resume_step is None else resume_step)
        if resume_step is None and not keep_scores:
            connection.execute(delete(InitScore).where(InitScore.run_id == present.id))
    connection.execute(insert(Attempt).values(_attempt(claimed, run, now, resume_step)))
    tracker.replace(connection, claimed.run_id, ids, rows)
    return claimed


def take_turns(connection: Connection) -> None:
    """Wait for others who claim or register runs, until the transaction ends; SQLite's transactions do so anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def lock(connection: Connection, name: str) -> Run | None:
    """The run of a name, locked until the transaction ends."""
    query = select(table_of(Run)).where(Run.name == clean(name)).with_for_update()
    row = connection.execute(query).one_or_none()
    return Run(**row._mapping) if row is not None else None


def take(connection: Connection, run: Run, status: Status) -> Claim:
    """Claim a run that exists, to do with it what the status says.

    Raises:
        StoreError: A live process holds it.
    """
    check_free(run)
    claimed = Claim(run.id, run.attempt, owners.new_owner())
    state = {"status": status, "owner": claimed.owner, "heartbeat_at": time.time()}
    connection.execute(update(Run).where(Run.id == run.id).values(**state))
    return claimed


def fence(connection: Connection, claimed: Claim) -> int:
    """Make sure of a claim until the transaction ends; returns how many records of its owner are in.

    Raises:
        OwnershipLostError: Another process has taken the run over, or deleted it.
    """
    query = select(Run.owner, Run.applied).where(Run.id == claimed.run_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None or row.owner != claimed.owner:
        taker = "deleted it" if row is None else f"took it over ({row.owner})"
        raise OwnershipLostError(f"run {claimed.run_id}: another process {taker}; this one must not write it")
    return int(row.applied)


def touch(connection: Connection, claimed: Claim, **changes: Any) -> None:
    """Give a sign of life in a run that is fenced, and change columns of it."""
    statement = update(Run).where(Run.id == claimed.run_id).values(heartbeat_at=time.time(), **changes)
    connection.execute(statement)


def beat(connection: Connection, claimed: Claim, **changes: Any) -> None:
    """`fence` and `touch`."""
    fence(connection, claimed)
    touch(connection, claimed, **changes)


def check_free(run: Run, starter: str | None = None) -> None:
    """Raises: StoreError: A live process starts the run, and is not `starter`, or writes, imports or deletes it."""
    if run.starter is not None and run.starting_at is not None and run.starter != starter:
        _check_dead(run, run.starter, run.starting_at, "starts")
    if run.status in HELD:
        _check_dead(run, run.owner, run.heartbeat_at, HELD[Status(run.status)])


def _check_dead(run: Run, holder: str, seen_at: float, does: str) -> None:
    if owners.is_alive(holder, seen_at):
        ago = max(0.0, time.time() - seen_at)
        raise StoreError(
            f"run {run.name!r}: {owners.describe(holder)} {does} it (last sign of life {ago:.0f} s ago); stop that "
            f"one, wait {owners.LEASE_S:.0f} s if it is dead, or give this run another trainer.experiment_name"
        )


def _check_resumable(present: Run, run: RunInfo, resume_step: int | None) -> None:
    check_free(present, run.starter)
    if resume_step is not None and present.uid not in ("", run.uid):
        raise StoreError(
            f"run {run.name!r}: the database has another run of this name ({present.uid}) than the checkpoint "
            f"({run.uid}); rename that one (`verl-spo runs rename`), or use the database that the checkpoint's run used"
        )


def _parent(run: RunInfo) -> dict[str, object]:
    if run.parent is None:
        return dict.fromkeys(("parent_uid", "parent_name", "parent_step"))
    return {"parent_uid": run.parent.uid, "parent_name": clean(run.parent.name), "parent_step": run.parent.step}


def _tell_gap(present: Run, resume_step: int | None) -> None:
    """A checkpoint's history is in the database or in a spool, which lies where its writer ran."""
    if resume_step is not None and present.last_step < resume_step:
        _log.warning(
            "run %s: its history has a gap, steps %d to %d; if %s left a spool, it is not here: let all machines that "
            "may train share the folder VERL_SPO_SPOOL_DIR",
            *(present.name, present.last_step + 1, resume_step, owners.describe(present.owner)),
        )


def _supersede(connection: Connection, run_id: int, kept: int) -> None:
    beyond = or_(Attempt.kept_through.is_(None), Attempt.kept_through > kept)
    connection.execute(update(Attempt).where(Attempt.run_id == run_id, beyond).values(kept_through=kept))


def _attempt(claimed: Claim, run: RunInfo, now: float, resume_step: int | None) -> dict[str, object]:
    return {
        "run_id": claimed.run_id,
        "attempt": claimed.attempt,
        "started_at": now,
        "resumed_from": resume_step,
        "host": clean(run.host),
        "config": without_secrets(dict(run.config)),
        "versions": without_secrets(dict(run.versions)),
        "git": without_secrets(dict(run.git)) if run.git is not None else None,
    }
