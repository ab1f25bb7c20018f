"""The table of prompts: any page of any order and filter in milliseconds, of a million prompts too.

A page is read along the index of its order, unless one of the filters leaves so few prompts that these are read and
sorted instead. SQLite keeps no statistics to choose by, so the choice is made here, by counting up to a bound.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, tuple_

from verl_spo.core.interval import wilson_interval
from verl_spo.errors import StoreError
from verl_spo.store import search
from verl_spo.store.reader import Reader
from verl_spo.store.schema import Prompt, Run, TrackerState
from verl_spo.store.text import question

Sort = Literal["value", "n_eff", "visits", "last_step", "uncertainty"]
Range = tuple[float | None, float | None]
Key = tuple[float, int]

_SORT_COLUMNS = {
    "value": TrackerState.value,
    "n_eff": TrackerState.evidence,
    "visits": TrackerState.visits,
    "last_step": TrackerState.last_step,
    "uncertainty": TrackerState.uncertainty,
}
SORTS = tuple(_SORT_COLUMNS)
"""What the table can be ordered by; `uncertainty` is the variance of the estimate, v (1 - v) / n_eff."""

_FEW = 5_000
"""Prompts that are sorted faster than an index is searched for a page of them."""


@dataclass(frozen=True)
class PromptFilter:
    """Which prompts. Ranges include their ends; None leaves one open.

    Attributes:
        words: As `store.search` describes them.
        source: `data_source`, exactly.
        value: Range of v_hat.
        n_eff: Range of the evidence at the run's clock.
        visits: Range of the number of observations.
        last_step: Range of the step of the latest observation.
    """

    words: str = ""
    source: str | None = None
    value: Range = (None, None)
    n_eff: Range = (None, None)
    visits: Range = (None, None)
    last_step: Range = (None, None)


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
    if sort not in _SORT_COLUMNS:
        raise StoreError(f"sort={sort!r}: must be one of {', '.join(SORTS)}")
    with reader.connect() as connection:
        clock = _clock(connection, run_id)
        plan = _Plan(connection, run_id, where or PromptFilter(), clock)
        keys = connection.execute(plan.page(sort, descending, after, limit)).all()
        rows = _rows(connection, keys, clock)
    full = len(keys) == limit
    return PromptPage(rows, (keys[-1].key, keys[-1].prompt_id) if full else None)


def prompt(reader: Reader, run_id: int, prompt_id: int) -> PromptRow:
    """One prompt of a run.

    Raises:
        StoreError: The run does not have it.
    """
    mine = (TrackerState.run_id == run_id, TrackerState.prompt_id == prompt_id)
    with reader.connect() as connection:
        keys = connection.execute(select(*_STATE).where(*mine)).all()
        if not keys:
            raise StoreError(f"prompt {prompt_id}: not in the pool of run {run_id}")
        return _rows(connection, keys, _clock(connection, run_id))[0]


def count_prompts(reader: Reader, run_id: int, where: PromptFilter, most: int = 10_000) -> int:
    """How many prompts a filter leaves, counted up to `most`."""
    with reader.connect() as connection:
        plan = _Plan(connection, run_id, where, _clock(connection, run_id))
        return plan.count(most)


def data_sources(reader: Reader) -> list[str]:
    """Data sources that the database knows."""
    first = select(func.min(Prompt.data_source).label("source")).cte("sources", recursive=True)
    following = select(func.min(Prompt.data_source)).where(Prompt.data_source > first.c.source).scalar_subquery()
    sources = first.union_all(select(following).where(first.c.source.is_not(None)))
    with reader.connect() as connection:
        found = connection.execute(select(sources.c.source).where(sources.c.source.is_not(None))).scalars()
        return list(found)


_STATE = (
    TrackerState.prompt_id, TrackerState.alpha, TrackerState.beta, TrackerState.z, TrackerState.visits,
    TrackerState.last_step,
)  # fmt: skip


class _Plan:
    """How to read the prompts that a filter leaves."""

    def __init__(self, connection: Connection, run_id: int, where: PromptFilter, clock: float) -> None:
        self._connection = connection
        self._mine = TrackerState.run_id == run_id
        self._conditions = _conditions(connection.dialect.name, where, clock)
        self._driver = self._fewest() if connection.dialect.name == "sqlite" else None

    def page(self, sort: Sort, descending: bool, after: Key | None, limit: int) -> Select[*tuple[Any, ...]]:
        column: ColumnElement[Any] = _SORT_COLUMNS[sort]  # type: ignore[assignment]
        query = select(*_STATE, column.label("key")).where(self._mine, *self._conditions.values())
        if after is not None:
            here, there = tuple_(column, TrackerState.prompt_id), tuple_(literal(after[0]), literal(after[1]))
            query = query.where(here < there if descending else here > there)
        order = (column, TrackerState.prompt_id)
        if self._driver is not None:
            # An expression has no index: SQLite sorts what the driving filter leaves.
            order = (column + 0, TrackerState.prompt_id)
        query = query.order_by(*(term.desc() if descending else term for term in order)).limit(limit)
        return self._hinted(query, self._driver or sort)

    def count(self, most: int) -> int:
        query = select(TrackerState.prompt_id).where(self._mine, *self._conditions.values()).limit(most)
        return self._count(self._hinted(query, self._driver))

    def _fewest(self) -> str | None:
        counts = {
            name: self._count(
                self._hinted(select(TrackerState.prompt_id).where(self._mine, condition).limit(_FEW), name)
            )
            for name, condition in self._conditions.items()
        }
        name = min(counts, key=lambda name: counts[name], default=None)
        return name if name is not None and counts[name] < _FEW else None

    def _count(self, query: Select[*tuple[Any, ...]]) -> int:
        return int(self._connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())

    def _hinted(self, query: Select[*tuple[Any, ...]], name: str | None) -> Select[*tuple[Any, ...]]:
        """Along the index of a sort or filter; along the primary key for filters that give a list of ids."""
        if name not in _SORT_COLUMNS:
            return query
        index = f"ix_tracker_state_run_id_{_SORT_COLUMNS[name].key}_prompt_id"
        return query.with_hint(TrackerState, f"INDEXED BY {index}", "sqlite")


def _conditions(dialect: str, where: PromptFilter, clock: float) -> dict[str, ColumnElement[bool]]:
    evidence = tuple(end if end is None else _log(end) + clock for end in where.n_eff)
    ranges: Mapping[str, Sequence[float | None]] = {
        "value": where.value,
        "n_eff": evidence,
        "visits": where.visits,
        "last_step": where.last_step,
    }
    conditions = {
        name: condition
        for name, ends in ranges.items()
        if (condition := _within(_SORT_COLUMNS[name], ends)) is not None  # type: ignore[arg-type]
    }
    if parts := search.parts(where.words):
        conditions["words"] = TrackerState.prompt_id.in_(search.matching(dialect, parts))
    if where.source is not None:
        conditions["source"] = TrackerState.prompt_id.in_(select(Prompt.id).where(Prompt.data_source == where.source))
    return conditions


def _within(column: ColumnElement[Any], ends: Sequence[float | None]) -> ColumnElement[bool] | None:
    low, high = ends
    if low is not None and high is not None:
        return column.between(low, high)
    if low is not None:
        return column >= low
    return column <= high if high is not None else None


def _rows(connection: Connection, keys: Sequence[Any], clock: float) -> tuple[PromptRow, ...]:
    query = select(Prompt.id, Prompt.digest, Prompt.data_source, Prompt.messages, Prompt.ground_truth)
    found = connection.execute(query.where(Prompt.id.in_([key.prompt_id for key in keys])))
    texts = {row.id: row for row in found}
    return tuple(_row(key, texts[key.prompt_id], clock) for key in keys)


def _row(key: Any, text: Any, clock: float) -> PromptRow:
    evidence = key.alpha + key.beta
    value, n_eff = key.alpha / evidence, evidence * math.exp(key.z - clock)
    low, high = wilson_interval([value], [n_eff])
    return PromptRow(
        prompt_id=key.prompt_id,
        digest=bytes(text.digest),
        data_source=text.data_source,
        text=question(text.messages),
        ground_truth=text.ground_truth,
        value=value,
        low=float(low[0]),
        high=float(high[0]),
        n_eff=n_eff,
        visits=key.visits,
        last_step=key.last_step,
    )


def _clock(connection: Connection, run_id: int) -> float:
    return float(connection.execute(select(Run.clock).where(Run.id == run_id)).scalar_one())


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
