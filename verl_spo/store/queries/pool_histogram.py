"""The whole pool in a few numbers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np

from verl_spo.errors import StoreError
from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.pool import pool_of
from verl_spo.store.records import IntArray

PoolColumn = Literal["value", "n_eff", "visits"]


def pool_histogram(reader: Reader, run_id: int, column: PoolColumn, edges: Sequence[float]) -> IntArray:
    """How many prompts of a run lie between edges, (len(edges) - 1,).

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
    with reader.connect(snapshot=True) as connection:
        values = pool_of(reader, connection, run_id).column(column)
    counts: IntArray = np.histogram(values, np.asarray(edges, dtype=np.float64))[0]
    return counts.astype(np.int64)
