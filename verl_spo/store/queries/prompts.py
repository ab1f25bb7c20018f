"""The table of prompts of a run, page by page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from verl_spo.core.interval import wilson_interval
from verl_spo.errors import StoreError
from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.pool import SORTS, STATE_COLUMNS, Pool, Sort, pool_of
from verl_spo.store.queries.prompt_filters import PromptFilter, ids_of_source, passing
from verl_spo.store.schema import Prompt, Run, TrackerState
from verl_spo.store.text import question


@dataclass(frozen=True)
class PromptRow:
    """A prompt and what the run's tracker knows of it.

    Attributes:
        text: Its question; whatever the data set says: show it as text, never as markup.
        value: v_hat.
        low: Lower end of the 90 % interval of the success rate.
        high: Upper end.
        n_eff: Evidence at the run's clock, in observations.
        last_step: 0 if it was never visited.
    """

    prompt_id: int
    digest: bytes
    data_source: str
    text: str
    ground_truth: str
    value: float
    low: float
    high: float
    n_eff: float
    visits: int
    last_step: int


@dataclass(frozen=True)
class PromptPage:
    """Some rows, and how many prompts the filter leaves."""

    rows: tuple[PromptRow, ...]
    count: int


def prompts(
    reader: Reader,
    run_id: int,
    sort: Sort = "value",
    descending: bool = False,
    where: PromptFilter | None = None,
    start: int = 0,
    limit: int = 50,
) -> PromptPage:
    """A page of a run's prompts: of those that a filter leaves, in an order, `limit` of them, after the first `start`.

    Raises:
        StoreError: `sort` is not one of `SORTS`.
    """
    if sort not in SORTS:
        raise StoreError(f"sort={sort!r}: must be one of {', '.join(SORTS)}")
    with reader.connect(snapshot=True) as connection:
        pool = pool_of(reader, connection, run_id)
        left = passing(reader, connection, run_id, pool, where or PromptFilter())
        states = pool.states(pool.ordered(sort, descending, left, start, limit))
        texts = texts_of(connection, [state.prompt_id for state in states])
    rows = tuple(prompt_row(state, texts[state.prompt_id], pool.clock) for state in states)
    return PromptPage(rows, int(np.count_nonzero(left)))


def count_prompts(reader: Reader, run_id: int, where: PromptFilter) -> int:
    """How many prompts of a run a filter leaves."""
    with reader.connect(snapshot=True) as connection:
        pool = pool_of(reader, connection, run_id)
        return int(np.count_nonzero(passing(reader, connection, run_id, pool, where)))


def prompt(reader: Reader, run_id: int, prompt_id: int) -> PromptRow:
    """One prompt of a run.

    Raises:
        StoreError: The run does not have it.
    """
    mine = (TrackerState.run_id == run_id, TrackerState.prompt_id == prompt_id)
    with reader.connect() as connection:
        state = connection.execute(select(*STATE_COLUMNS).where(*mine)).one_or_none()
        if state is None:
            raise StoreError(f"prompt {prompt_id}: not in the pool of run {run_id}")
        clock = connection.execute(select(Run.clock).where(Run.id == run_id)).scalar_one()
        return prompt_row(state, texts_of(connection, [prompt_id])[prompt_id], clock)


def data_sources(reader: Reader, run_id: int) -> list[str]:
    """Data sources of a run's prompts, sorted."""
    with reader.connect() as connection:
        every = _all_sources(connection)
    if len(every) <= 1:
        return every
    with reader.connect(snapshot=True) as connection:
        pool = pool_of(reader, connection, run_id)
        key = (run_id, pool.stand.holder, len(pool.prompt_id))
        found: list[str] = reader.sources.renewed(key, partial(_sources, connection, every, pool))
        return found


def _sources(connection: Connection, every: Sequence[str], pool: Pool, known: list[str] | None) -> list[str]:
    """Those of a pool's prompts, which never change."""
    return known or [each for each in every if np.isin(pool.prompt_id, ids_of_source(connection, each)).any()]


def _all_sources(connection: Connection) -> list[str]:
    """Data sources that the database knows, from one to the next along their index."""
    first = select(func.min(Prompt.data_source).label("source")).cte("sources", recursive=True)
    following = select(func.min(Prompt.data_source)).where(Prompt.data_source > first.c.source).scalar_subquery()
    sources = first.union_all(select(following).where(first.c.source.is_not(None)))
    return list(connection.execute(select(sources.c.source).where(sources.c.source.is_not(None))).scalars())


def texts_of(connection: Connection, prompt_ids: Sequence[int]) -> Mapping[int, Any]:
    """Rows of `prompts`, by id."""
    query = select(Prompt.id, Prompt.digest, Prompt.data_source, Prompt.messages, Prompt.ground_truth)
    return {row.id: row for row in connection.execute(query.where(Prompt.id.in_(prompt_ids)))}


def prompt_row(state: Any, text: Any, clock: float) -> PromptRow:
    """A prompt from its tracker's row, with `STATE_COLUMNS`, and its own."""
    return PromptRow(
        prompt_id=state.prompt_id,
        digest=bytes(text.digest),
        data_source=text.data_source,
        text=question(text.messages),
        ground_truth=text.ground_truth,
        **estimate(state, clock),
        visits=state.visits,
        last_step=state.last_step,
    )


def estimate(state: Any, clock: float) -> dict[str, float]:
    """`value`, `low`, `high` and `n_eff` of a tracker's row at a run's clock."""
    evidence = state.alpha + state.beta
    value, n_eff = state.alpha / evidence, evidence * math.exp(state.z - clock)
    low, high = (float(end[0]) for end in wilson_interval([value], [n_eff]))
    return {"value": value, "low": low, "high": high, "n_eff": n_eff}
