"""Changing runs by hand: their name, their tags, whether they exist."""

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.exc import IntegrityError

from verl_spo.errors import StoreError
from verl_spo.store.database.urls import describe
from verl_spo.store.runs import claims, owners
from verl_spo.store.runs.claims import Claim
from verl_spo.store.runs.status import Status
from verl_spo.store.runs.upkeep import delete_in_parts
from verl_spo.store.schema import (
    OF_EVALUATIONS,
    Evaluation,
    Metric,
    Observation,
    Rollout,
    Run,
    Series,
    TrackerState,
    table_of,
)
from verl_spo.store.text import clean


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
        run = _existing(connection, name)
        tags = sorted(({*run.tags, *map(clean, add)}) - {*remove})
        connection.execute(update(Run).where(Run.id == run.id).values(tags=tags))
    return tags


def delete_run(engine: Engine, name: str) -> None:
    """Delete a run and all that it left; its prompts stay, since other runs may share them.

    Raises:
        StoreError: There is no such run, or a live process holds it.
    """
    with engine.begin() as connection:
        # From here on nobody writes it; if this is interrupted, the run is still there to be deleted again.
        claim = claims.take(connection, _existing(connection, name), Status.DELETING)
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
        evaluations = select(Evaluation.id).where(Evaluation.run_id == claim.run_id)
        for table in map(table_of, OF_EVALUATIONS):
            delete_in_parts(engine, table, table.c.evaluation_id.in_(evaluations), claim)
        mine = select(Series.id).where(Series.run_id == claim.run_id)
        delete_in_parts(engine, table_of(Metric), Metric.series_id.in_(mine), claim)
        with engine.begin() as connection:
            claims.fence(connection, claim)
            connection.execute(delete(Run).where(Run.id == claim.run_id))
    finally:
        owners.release(claim.owner)


def _idle(connection: Connection, name: str) -> Run:
    run = _existing(connection, name)
    claims.check_free(run)
    return run


def _existing(connection: Connection, name: str) -> Run:
    run = claims.lock(connection, name)
    if run is None:
        raise StoreError(f"run {name!r}: not in {describe(connection.engine.url)}; `verl-spo runs list` shows them")
    return run
