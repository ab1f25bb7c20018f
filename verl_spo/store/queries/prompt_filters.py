"""Which prompts of a pool a filter leaves."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, select

from verl_spo.store import bulk, search
from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.pool import Mask, Pool, Sort
from verl_spo.store.queries.visits import Movement, Range, Visits, inside
from verl_spo.store.records import IntArray
from verl_spo.store.schema import Prompt
from verl_spo.store.text import clean

_OPEN: Range = (None, None)


@dataclass(frozen=True)
class PromptFilter:
    """Which prompts. Ranges include their ends, but for that of v_hat; None leaves one open.

    Attributes:
        words: As `store.search` describes them.
        source: `data_source`, exactly.
        value: Range of v_hat. Its upper end is not in it, unless it is 1 or the lower one: as in a histogram's bins.
        n_eff: Range of the evidence at the run's clock.
        visits: Range of the number of observations.
        last_step: Range of the step of the latest observation.
        last_outcome: Range of the reward of the latest observation; of prompts whose latest visit is among the run's
            latest `window.MOST_OBSERVATIONS`.
        moved: How v_hat changed.
    """

    words: str = ""
    source: str | None = None
    value: Range = _OPEN
    n_eff: Range = _OPEN
    visits: Range = _OPEN
    last_step: Range = _OPEN
    last_outcome: Range = _OPEN
    moved: Movement | None = None


def passing(reader: Reader, connection: Connection, run_id: int, pool: Pool, where: PromptFilter) -> Mask:
    """The prompts of a run's pool that a filter leaves, (P,). What the database has to be asked is asked once."""
    ranges: dict[Sort, Range] = {name: getattr(where, name) for name in ("value", "n_eff", "visits", "last_step")}
    masks = [inside(pool.column(name), ends) for name, ends in ranges.items() if ends != _OPEN]
    low, high = where.value
    if high is not None and high < 1 and high != low:
        masks.append(pool.column("value") < high)
    for condition, ids in _asked(connection, run_id, pool, where):
        key = (run_id, pool.stand.holder, len(pool.prompt_id), condition)
        masks.append(reader.masks.renewed(key, partial(_having, pool, ids)))
    return np.logical_and.reduce(masks) if masks else np.ones(len(pool.prompt_id), dtype=bool)


def _having(pool: Pool, ids: Callable[[], IntArray], kept: Mask | None) -> Mask:
    return np.isin(pool.prompt_id, ids()) if kept is None else kept


def _asked(
    connection: Connection, run_id: int, pool: Pool, where: PromptFilter
) -> Iterator[tuple[Hashable, Callable[[], IntArray]]]:
    """Conditions that the pool does not tell, each with the query of the prompts that meet it."""
    if where.source is not None:
        yield ("source", where.source), partial(ids_of_source, connection, where.source)
    if words := search.parse(where.words):
        yield words, partial(_ids, connection, search.ids(connection.dialect.name, words))
    # These change with every step.
    at = pool.stand.step
    if where.last_outcome != _OPEN:
        yield (at, where.last_outcome), partial(_ended_within, connection, run_id, where.last_outcome)
    if where.moved is not None:
        yield (at, where.moved), partial(_moved, connection, run_id, where.moved)


def ids_of_source(connection: Connection, source: str) -> IntArray:
    """The prompts of a data source, whosever they are."""
    return _ids(connection, select(Prompt.id).where(Prompt.data_source == clean(source)))


def _ids(connection: Connection, query: Select[*tuple[Any, ...]]) -> IntArray:
    (ids,) = bulk.read_columns(connection, query).values()
    return ids


def _ended_within(connection: Connection, run_id: int, within: Range) -> IntArray:
    return Visits.latest(connection, run_id).ended_within(within)


def _moved(connection: Connection, run_id: int, moved: Movement) -> IntArray:
    return Visits.latest(connection, run_id, moved.since_step).moved_within((moved.low, moved.high))
