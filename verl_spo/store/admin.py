"""Changing runs by hand: their name, their tags, whether they exist."""

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.exc import IntegrityError

from verl_spo.errors import StoreError
from verl_spo.store import ownership, registry
from verl_spo.store.registry import Claim
from verl_spo.store.schema import Metric, Observation, Rollout, Run, Series, TrackerState, table_of
from verl_spo.store.text import clean
from verl_spo.store.upkeep import delete_in_parts
from verl_spo.store.urls import describe


def rename(engine: Engine, name: str, new: str) -> None:
    """Give a run another name; checkpoints of it know the old one.

    Raises:
        StoreError: There is no such run, a live process writes it, or the new name is taken or empty.
    """
    if not new.strip():
        raise StoreError(f"new name {new!r}: must not be empty")
    try:
        with engine.begin() as connection:
            run = _idle(connection, name)
            connection.execute(update(Run).where(Run.id == run.id).values(name=clean(new)))
    except IntegrityError:
        raise StoreError(f"new name {new!r}: another run has it; choose another, or delete that run") from None


def tag(engine: Engine, name: str, add: list[str], remove: list[str]) -> list[str]:
    """Add and remove tags of a run, in that order; returns those that it has now."""
    with engine.begin() as connection:
        run = _find(connection, name)
        tags = sorted(({*run.tags, *map(clean, add)}) - {*remove})
        connection.execute(update(Run).where(Run.id == run.id).values(tags=tags))
    return tags


def note_stopped(engine: Engine, name: str) -> None:
    """Note that a run was stopped whose writer could not say so itself; one that ended otherwise stays as it is.

    Raises:
        StoreError: There is no such run, or a live process writes it.
    """
    with engine.begin() as connection:
        run = _idle(connection, name)
        if run.status == "running":
            ended = {"status": "stopped", "ended_at": run.heartbeat_at}
            connection.execute(update(Run).where(Run.id == run.id).values(**ended))


def delete_run(engine: Engine, name: str) -> None:
    """Delete a run and all that it left; its prompts stay, since other runs may share them.

    Raises:
        StoreError: There is no such run, or a live process holds it.
    """
    with engine.begin() as connection:
        # From here on nobody writes it; if this is interrupted, the run is still there to be deleted again.
        claim = registry.take(connection, _find(connection, name), "deleting")
    delete_claimed(engine, claim)


def delete_claimed(engine: Engine, claim: Claim) -> None:
    """Delete a run that this process holds, and let go of it.

    Raises:
        OwnershipLostError: Another process took it over meanwhile.
    """
    try:
        for model in (Observation, Rollout, TrackerState):
            table = table_of(model)
            delete_in_parts(engine, table, table.c.run_id == claim.run_id, claim)
        mine = select(Series.id).where(Series.run_id == claim.run_id)
        delete_in_parts(engine, table_of(Metric), Metric.series_id.in_(mine), claim)
        with engine.begin() as connection:
            registry.fence(connection, claim)
            connection.execute(delete(Run).where(Run.id == claim.run_id))
    finally:
        ownership.release(claim.owner)


def _idle(connection: Connection, name: str) -> Run:
    run = _find(connection, name)
    registry.check_free(run)
    return run


def _find(connection: Connection, name: str) -> Run:
    run = registry.find(connection, name)
    if run is None:
        raise StoreError(f"run {name!r}: not in {describe(connection.engine.url)}; `verl-spo runs list` shows them")
    return run
