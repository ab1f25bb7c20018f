"""The whole pool in a few numbers, counted along the tracker's indexes."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from sqlalchemy import ColumnElement, Select, and_, func, literal, select, union_all

from verl_spo.errors import StoreError
from verl_spo.store.database.reader import Reader
from verl_spo.store.records import IntArray
from verl_spo.store.schema import Run, TrackerState, table_of

PoolColumn = Literal["value", "n_eff", "visits"]

_TABLE = table_of(TrackerState)


def pool_histogram(reader: Reader, run_id: int, column: PoolColumn, edges: Sequence[float]) -> IntArray:
    """How many prompts of a run lie between edges, (len(edges) - 1,).

    A million prompts take some tenths of a second.

    Args:
        reader: The database.
        run_id: The run.
        column: v_hat, evidence at the run's clock, or number of observations.
        edges: Ascending, at least two; a bin has its lower one and not its upper one, but for the last, which has both.
            The ends may be infinite.

    Raises:
        StoreError: There are too few edges, or they do not ascend.
    """
    if len(edges) < 2 or any(low >= high for low, high in pairwise(edges)):
        raise StoreError(f"edges={list(edges)}: must be at least two numbers, each above the one before")
    with reader.connect() as connection:
        clock = float(connection.execute(select(Run.clock).where(Run.id == run_id)).scalar_one())
        ends = [_of_evidence(edge, clock) if column == "n_eff" else edge for edge in edges]
        indexed = _TABLE.c["evidence" if column == "n_eff" else column]
        last = len(edges) - 2
        parts = [
            _count(run_id, indexed, bin_, low, high, bin_ == last) for bin_, (low, high) in enumerate(pairwise(ends))
        ]
        found = {row.bin: row.prompts for row in connection.execute(union_all(*parts))}
    return np.array([found[bin_] for bin_ in range(last + 1)], dtype=np.int64)


def _count(
    run_id: int, column: ColumnElement[Any], bin_: int, low: float, high: float, closed: bool
) -> Select[*tuple[Any, ...]]:
    within = [] if low == -math.inf else [column >= low]
    if high != math.inf:
        within.append(column <= high if closed else column < high)
    return select(literal(bin_).label("bin"), func.count().label("prompts")).where(
        and_(_TABLE.c.run_id == run_id, *within)
    )


def _of_evidence(n_eff: float, clock: float) -> float:
    """What stands in the column `evidence` for so many observations."""
    return math.log(n_eff) + clock if n_eff > 0 else -math.inf
