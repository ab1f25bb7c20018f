"""The value tracker's rows: made equal to the trainer's state, changed a step at a time, read back whole."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, select

from verl_spo.store import bulk
from verl_spo.store.records import FloatArray, IntArray, TrackerRows, array_fields
from verl_spo.store.schema import InitScore, Prompt, TrackerState, table_of

_TABLE = table_of(TrackerState)
STATE = [name for name in array_fields(TrackerRows) if name != "slots"]
"""Columns that are the tracker's state; the others of the table are its key."""


@dataclass(frozen=True)
class TrackerSnapshot:
    """A run's whole tracker, prompts in the order of their ids, (P,) each.

    Attributes:
        digests: Identity of each prompt, 16 bytes.
        clock: Event time that the run's evidence has aged to.
        known: Whether there is more of it than the prior: it was visited, or scored before training.
    """

    digests: NDArray[np.void]
    clock: float
    known: NDArray[np.bool_]
    alpha: FloatArray
    beta: FloatArray
    z: FloatArray
    visits: IntArray
    last_step: IntArray

    def __len__(self) -> int:
        return len(self.alpha)

    def n_eff(self) -> FloatArray:
        """Evidence of each prompt, aged to the clock, (P,)."""
        aged: FloatArray = (self.alpha + self.beta) * np.exp(self.z - self.clock)
        return aged


def columns(ids: IntArray, rows: TrackerRows) -> dict[str, NDArray[Any]]:
    """Tracker rows as the table has them; `ids` (n,) are those of their prompts."""
    return {"prompt_id": ids, **{name: getattr(rows, name) for name in STATE}}


def update(connection: Connection, run_id: int, ids: IntArray, rows: TrackerRows) -> None:
    """Change rows that exist."""
    bulk.update_columns(connection, _TABLE, {"run_id": run_id}, "prompt_id", columns(ids, rows))


def replace(connection: Connection, run_id: int, ids: IntArray, rows: TrackerRows) -> None:
    """Make the run's rows equal to the given ones, writing only what differs."""
    present = read_rows(connection, run_id)
    order = np.argsort(ids)
    if not np.array_equal(present["prompt_id"], ids[order]):
        connection.execute(delete(TrackerState).where(TrackerState.run_id == run_id))
        run = np.full(len(ids), run_id, dtype=np.int64)
        bulk.insert_columns(connection, _TABLE, {"run_id": run, **columns(ids, rows)})
        return
    differs = np.zeros(len(ids), dtype=bool)
    for name in STATE:
        differs[order] |= present[name] != getattr(rows, name)[order]
    if differs.any():
        changed = TrackerRows(*(getattr(rows, name)[differs] for name in ("slots", *STATE)))
        update(connection, run_id, ids[differs], changed)


def read(connection: Connection, run_id: int, clock: float) -> TrackerSnapshot:
    """A run's whole tracker: a million prompts in seconds."""
    rows = read_rows(connection, run_id)
    prompts = _digests(connection, rows["prompt_id"])
    order = np.argsort(prompts["id"])
    digests = prompts["digest"][order][np.searchsorted(prompts["id"][order], rows["prompt_id"])]
    scored = bulk.read_columns(connection, select(InitScore.prompt_id).where(InitScore.run_id == run_id))
    known = (rows["visits"] > 0) | np.isin(rows["prompt_id"], scored["prompt_id"])
    return TrackerSnapshot(digests, clock, known, **{name: rows[name] for name in STATE})


def _digests(connection: Connection, ids: IntArray) -> dict[str, NDArray[Any]]:
    """Ids and digests of at least the given prompts, whose ids ascend."""
    first, last = ids[[0, -1]].tolist() if len(ids) else (0, -1)
    # SQLite would follow the ids through the prompts themselves, and all their text; its index of digests is enough.
    known = Prompt.id + 0 if connection.dialect.name == "sqlite" else Prompt.id
    return bulk.read_columns(connection, select(Prompt.id, Prompt.digest).where(known.between(first, last)))


def read_rows(connection: Connection, run_id: int) -> dict[str, NDArray[Any]]:
    """A run's rows by column, in the order of the prompts' ids: these and the state."""
    query = (
        select(*(_TABLE.c[name] for name in ("prompt_id", *STATE)))
        .where(TrackerState.run_id == run_id)
        .order_by(TrackerState.prompt_id)
    )
    return bulk.read_columns(connection, query)
