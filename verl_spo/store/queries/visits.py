"""What a filter of prompts asks of their latest visits; of a long run, of those among its latest observations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, SQLColumnExpression, and_, exists, or_, select, true
from sqlalchemy.orm import aliased

from verl_spo.store.queries import window
from verl_spo.store.queries.attempts import kept_through
from verl_spo.store.schema import Observation, TrackerState, table_of

Range = tuple[float | None, float | None]

_TRACKER = table_of(TrackerState)


@dataclass(frozen=True)
class Movement:
    """v_hat now minus v_hat before a prompt's first visit after step `since_step`: from `low` to `high`, both in it."""

    since_step: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Visits:
    """A run's observations that a filter may look at: those that count, from a step on."""

    run_id: int
    first_step: int
    kept: Mapping[int, int]

    @classmethod
    def latest(cls, connection: Connection, run_id: int) -> "Visits":
        """As many as may be read (`window`)."""
        return cls(run_id, window.first_step(connection, run_id), kept_through(connection, run_id))

    def since(self, step: int) -> "Visits":
        """Those after a step."""
        return Visits(self.run_id, max(self.first_step, step + 1), self.kept)

    def of(self, visit: Any) -> ColumnElement[bool]:
        """Whether an observation is one of them."""
        counts = (or_(visit.attempt != attempt, visit.step <= kept) for attempt, kept in self.kept.items())
        return and_(visit.run_id == self.run_id, visit.step >= self.first_step, *counts)

    def reach(self) -> ColumnElement[bool]:
        """Whether the tracker's row is of a prompt that has any; the others need not be looked at."""
        return _TRACKER.c.last_step + 0 >= self.first_step


@dataclass(frozen=True, eq=False)
class OfVisits:
    """A condition on a prompt's visits: for a tracker's row at hand, and all prompts that pass it."""

    test: ColumnElement[bool]
    ids: Select[*tuple[Any, ...]]


def last_outcome(visits: Visits, within: Range) -> OfVisits:
    """The reward of the latest visit lies in a range."""
    visit = aliased(Observation)
    passes = and_(visits.of(visit), _between(visit.reward, within))
    at_last = exists().where(passes, visit.prompt_id == _TRACKER.c.prompt_id, visit.step == _TRACKER.c.last_step)
    row = table_of(TrackerState).alias()
    is_last = exists().where(
        row.c.run_id == visits.run_id, row.c.prompt_id == visit.prompt_id, row.c.last_step + 0 == visit.step
    )
    return OfVisits(and_(visits.reach(), at_last), select(visit.prompt_id).where(passes, is_last))


def moved(visits: Visits, movement: Movement) -> OfVisits:
    """v_hat has changed by an amount since the first of the visits after a step."""
    visits = visits.since(movement.since_step)
    visit, earlier = aliased(Observation), aliased(Observation)
    within = movement.low, movement.high
    before = exists().where(visits.of(earlier), earlier.prompt_id == visit.prompt_id, earlier.step < visit.step)
    here = exists().where(
        visits.of(visit),
        visit.prompt_id == _TRACKER.c.prompt_id,
        _between(_TRACKER.c.value - visit.baseline, within),
        ~before,
    )
    row = table_of(TrackerState).alias()
    there = exists().where(
        row.c.run_id == visits.run_id,
        row.c.prompt_id == visit.prompt_id,
        _between(row.c.value - visit.baseline, within),
    )
    return OfVisits(and_(visits.reach(), here), select(visit.prompt_id).where(visits.of(visit), there, ~before))


def _between(column: SQLColumnExpression[Any], within: Range) -> ColumnElement[bool]:
    low, high = within
    ends = [] if low is None else [column >= low]
    return and_(true(), *ends, *([] if high is None else [column <= high]))
