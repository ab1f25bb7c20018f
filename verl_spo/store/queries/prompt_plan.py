"""How a page of prompts is read: in milliseconds for every order and filter, of a million prompts too.

It is read along the index of its order, unless one of the filters leaves so few prompts that these are read and sorted
instead. That is decided here, by counting up to a bound: SQLite keeps no statistics to decide by, and those of
Postgres do not tell that the prompts with the least visits are also those with the oldest ones.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, tuple_

from verl_spo.store import search
from verl_spo.store.queries.visits import Movement, Range, Visits, as_query
from verl_spo.store.schema import Prompt, TrackerState, table_of
from verl_spo.store.text import clean

Sort = Literal["value", "n_eff", "visits", "last_step", "uncertainty"]
Key = tuple[float, int]

_TABLE = table_of(TrackerState)
SORT_COLUMNS = {
    "value": "value",
    "n_eff": "evidence",
    "visits": "visits",
    "last_step": "last_step",
    "uncertainty": "uncertainty",
}
"""The tracker's column of each order."""

SORTS = tuple(SORT_COLUMNS)
"""What the table can be ordered by; `uncertainty` is the variance of the estimate, v (1 - v) / n_eff."""

_ROUNDING = 1e-9

_FEW = 20_000
"""Prompts that are read and sorted faster than an index is searched for a page of them."""


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
        last_outcome: Range of the reward of the latest observation; of prompts whose latest visit is among the run's
            latest `window.MOST_OBSERVATIONS`.
        moved: How v_hat changed.
    """

    words: str = ""
    source: str | None = None
    value: Range = (None, None)
    n_eff: Range = (None, None)
    visits: Range = (None, None)
    last_step: Range = (None, None)
    last_outcome: Range = (None, None)
    moved: Movement | None = None


@dataclass(frozen=True, eq=False)
class _Condition:
    """One part of a filter.

    Attributes:
        test: For a row that another index led to.
        lead: The same, so that the database may follow an index to the rows that pass.
        column: That the index is of, if it is one of the tracker's.
        ids: The prompts that pass, if it is not.
    """

    test: ColumnElement[bool]
    lead: ColumnElement[bool]
    column: str | None = None
    ids: Select[*tuple[Any, ...]] | None = None


class Plan:
    """How to read the prompts that a filter leaves of a run."""

    def __init__(self, connection: Connection, run_id: int, where: PromptFilter, clock: float) -> None:
        self._connection = connection
        self._mine = _TABLE.c.run_id == run_id
        self._conditions = [
            *_conditions(connection.dialect.name, where, clock),
            *_of_visits(connection, run_id, where),
        ]
        self._leader = self._fewest()

    def page(
        self, columns: Sequence[Any], sort: Sort, descending: bool, after: Key | None, limit: int
    ) -> Select[*tuple[Any, ...]]:
        """The query of a page; its last column is the `key` to go on from."""
        name = SORT_COLUMNS[sort]
        column = _TABLE.c[name]
        order = [column if self._leader is None else _unindexed(column), _TABLE.c.prompt_id]
        query = select(*columns, column.label("key")).where(self._mine, *self._tests(name))
        if after is not None:
            here, there = tuple_(*order), tuple_(literal(after[0]), literal(after[1]))
            query = query.where(here < there if descending else here > there)
        return query.order_by(*(term.desc() if descending else term for term in order)).limit(limit)

    def count(self, most: int) -> int:
        """How many prompts there are, counted up to `most`."""
        return self._count(select(_TABLE.c.prompt_id).where(self._mine, *self._tests()), most)

    def _tests(self, sort: str | None = None) -> list[ColumnElement[bool]]:
        leaders = [self._leader] if self._leader else [c for c in self._conditions if sort and c.column == sort]
        return [c.lead if c in leaders else c.test for c in self._conditions]

    def _fewest(self) -> _Condition | None:
        """The condition that leaves the fewest prompts, if these are few."""
        rows = [
            select(_TABLE.c.prompt_id).where(self._mine, condition.lead) if condition.ids is None else condition.ids
            for condition in self._conditions
        ]
        counts = [self._count(query, _FEW) for query in rows]
        return self._conditions[counts.index(min(counts))] if counts and min(counts) < _FEW else None

    def _count(self, query: Select[*tuple[Any, ...]], most: int) -> int:
        counted = select(func.count()).select_from(query.limit(most).subquery())
        return int(self._connection.execute(counted).scalar_one())


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column's value, as an expression that there is no index of."""
    return column + 0


def _conditions(dialect: str, where: PromptFilter, clock: float) -> list[_Condition]:
    conditions = [_range(column, *ends) for column, ends in _ranges(where, clock).items() if ends != (None, None)]
    if where.source is not None:
        name = clean(where.source)
        ids = select(Prompt.id).where(Prompt.data_source == name)
        source = select(Prompt.data_source).where(Prompt.id == _TABLE.c.prompt_id).scalar_subquery()
        conditions.append(_Condition(source == name, _TABLE.c.prompt_id.in_(ids), ids=ids))
    if query := search.parse(where.words):
        ids = search.ids(dialect, query)
        test = search.matches(dialect, query, _unindexed(_TABLE.c.prompt_id))
        conditions.append(_Condition(test, _TABLE.c.prompt_id.in_(ids), ids=ids))
    return conditions


def _of_visits(connection: Connection, run_id: int, where: PromptFilter) -> list[_Condition]:
    """Conditions on visits, of which the prompts are found first: no index leads to them."""
    found = []
    if where.last_outcome != (None, None):
        found.append(Visits.latest(connection, run_id).ended_within(where.last_outcome))
    if where.moved is not None:
        visits = Visits.latest(connection, run_id, where.moved.since_step)
        found.append(visits.moved_within((where.moved.low, where.moved.high)))
    dialect = connection.dialect.name
    queries = [as_query(dialect, ids) for ids in found]
    return [
        _Condition(_unindexed(_TABLE.c.prompt_id).in_(ids), _TABLE.c.prompt_id.in_(ids), ids=ids) for ids in queries
    ]


def _ranges(where: PromptFilter, clock: float) -> dict[str, Range]:
    """Ranges of the tracker's columns, with those that follow from others: an order then skips what cannot pass."""
    evidence = _mapped(where.n_eff, lambda n_eff: _log(n_eff) + clock)
    visits, last_step = where.visits, where.last_step
    # A prompt has visits where it has a last step.
    of_visits = where.last_outcome != (None, None) or where.moved is not None
    if of_visits or (visits[0] or 0) > 0 or (last_step[0] or 0) > 0:
        visits, last_step = (visits[0] or 1, visits[1]), (last_step[0] or 1, last_step[1])
    if visits[1] == 0 or last_step[1] == 0:
        visits, last_step = (visits[0], 0), (last_step[0], 0)
    # uncertainty = ln(v (1 - v)) - evidence, and v (1 - v) is at most 1/4.
    uncertainty = (None, None if evidence[0] is None else math.log(0.25) - evidence[0] + _ROUNDING)
    ranges = {"value": where.value, "evidence": evidence, "visits": visits, "last_step": last_step}
    return {**ranges, "uncertainty": uncertainty}


def _mapped(ends: Range, change: Callable[[float], float]) -> Range:
    low, high = (None if end is None else change(end) for end in ends)
    return low, high


def _range(column: str, low: float | None, high: float | None) -> _Condition:
    indexed = _TABLE.c[column]
    return _Condition(_within(_unindexed(indexed), low, high), _within(indexed, low, high), column)


def _within(column: ColumnElement[Any], low: float | None, high: float | None) -> ColumnElement[bool]:
    if low is None:
        return column <= high
    return column >= low if high is None else column.between(low, high)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
