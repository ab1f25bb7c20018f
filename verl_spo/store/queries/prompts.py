"""The table of prompts of a run, page by page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from verl_spo.core.interval import wilson_interval
from verl_spo.errors import StoreError
from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.prompt_plan import SORTS, Key, Plan, PromptFilter, Sort
from verl_spo.store.schema import Prompt, Run, TrackerState
from verl_spo.store.text import question
from verl_spo.store.tracker import STATE

_TABLE = TrackerState.__table__
STATE_COLUMNS = [_TABLE.c[name] for name in ("prompt_id", *STATE)]


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
    """A page, and the key to hand over for the next one; None after the last."""

    rows: tuple[PromptRow, ...]
    next: Key | None


def prompts(
    reader: Reader,
    run_id: int,
    sort: Sort = "value",
    descending: bool = False,
    where: PromptFilter | None = None,
    after: Key | None = None,
    limit: int = 50,
) -> PromptPage:
    """A page of a run's prompts.

    Raises:
        StoreError: `sort` is not one of `SORTS`.
    """
    if sort not in SORTS:
        raise StoreError(f"sort={sort!r}: must be one of {', '.join(SORTS)}")
    with reader.connect() as connection:
        clock = clock_of(connection, run_id)
        plan = Plan(connection, run_id, where or PromptFilter(), clock)
        keys = connection.execute(plan.page(STATE_COLUMNS, sort, descending, after, limit)).all()
        rows = _rows(connection, keys, clock)
    full = len(keys) == limit
    return PromptPage(rows, (keys[-1].key, keys[-1].prompt_id) if full else None)


def prompt(reader: Reader, run_id: int, prompt_id: int) -> PromptRow:
    """One prompt of a run.

    Raises:
        StoreError: The run does not have it.
    """
    mine = (_TABLE.c.run_id == run_id, _TABLE.c.prompt_id == prompt_id)
    with reader.connect() as connection:
        keys = connection.execute(select(*STATE_COLUMNS).where(*mine)).all()
        if not keys:
            raise StoreError(f"prompt {prompt_id}: not in the pool of run {run_id}")
        return _rows(connection, keys, clock_of(connection, run_id))[0]


def count_prompts(reader: Reader, run_id: int, where: PromptFilter, most: int = 10_000) -> int:
    """How many prompts a filter leaves, counted up to `most`."""
    with reader.connect() as connection:
        return Plan(connection, run_id, where, clock_of(connection, run_id)).count(most)


def data_sources(reader: Reader) -> list[str]:
    """Data sources that the database knows."""
    first = select(func.min(Prompt.data_source).label("source")).cte("sources", recursive=True)
    following = select(func.min(Prompt.data_source)).where(Prompt.data_source > first.c.source).scalar_subquery()
    sources = first.union_all(select(following).where(first.c.source.is_not(None)))
    with reader.connect() as connection:
        found = connection.execute(select(sources.c.source).where(sources.c.source.is_not(None))).scalars()
        return list(found)


def _rows(connection: Connection, keys: Sequence[Any], clock: float) -> tuple[PromptRow, ...]:
    texts = texts_of(connection, [key.prompt_id for key in keys])
    return tuple(prompt_row(key, texts[key.prompt_id], clock) for key in keys)


def texts_of(connection: Connection, prompt_ids: Sequence[int]) -> Mapping[int, Any]:
    """Rows of `prompts`, by id."""
    query = select(Prompt.id, Prompt.digest, Prompt.data_source, Prompt.messages, Prompt.ground_truth)
    return {row.id: row for row in connection.execute(query.where(Prompt.id.in_(prompt_ids)))}


def prompt_row(key: Any, text: Any, clock: float) -> PromptRow:
    """A prompt from its tracker's row, with `STATE_COLUMNS`, and its own."""
    return PromptRow(
        prompt_id=key.prompt_id,
        digest=bytes(text.digest),
        data_source=text.data_source,
        text=question(text.messages),
        ground_truth=text.ground_truth,
        **estimate(key, clock),
        visits=key.visits,
        last_step=key.last_step,
    )


def estimate(state: Any, clock: float) -> dict[str, float]:
    """`value`, `low`, `high` and `n_eff` of a tracker's row at a run's clock."""
    evidence = state.alpha + state.beta
    value, n_eff = state.alpha / evidence, evidence * math.exp(state.z - clock)
    low, high = (float(end[0]) for end in wilson_interval([value], [n_eff]))
    return {"value": value, "low": low, "high": high, "n_eff": n_eff}


def clock_of(connection: Connection, run_id: int) -> float:
    """The event time that a run's evidence has aged to."""
    return float(connection.execute(select(Run.clock).where(Run.id == run_id)).scalar_one())
