"""A run's whole pool in memory: read once by a reader, then only what is new.

Orders and filters of a million prompts take milliseconds here. In the database, each order would be an index, into
which every observation of a large pool has to be written.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from verl_spo.store import bulk, tracker
from verl_spo.store.database.reader import Reader
from verl_spo.store.records import FloatArray, IntArray
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Observation, Run, StepSummary, TrackerState, table_of

Sort = Literal["value", "n_eff", "visits", "last_step", "uncertainty"]
SORTS: tuple[Sort, ...] = ("value", "n_eff", "visits", "last_step", "uncertainty")
"""What prompts can be ordered by; `uncertainty` is the variance of the estimate, v (1 - v) / n_eff."""

Mask = NDArray[np.bool_]

_TINY = 1e-300
_WITHOUT_STEPS = (Status.IMPORTING, Status.DELETING)
"""While rows come or go by other ways than a trainer's steps."""

_TABLE = table_of(TrackerState)
STATE_COLUMNS = [_TABLE.c[name] for name in ("prompt_id", *tracker.STATE)]


class PromptState(NamedTuple):
    """A row of the tracker's table."""

    prompt_id: int
    alpha: float
    beta: float
    z: float
    visits: int
    last_step: int


@dataclass(frozen=True)
class Stand:
    """How far a run's tracker is.

    Attributes:
        holder: The run's attempt, owner and status: who writes the tracker.
        step: The last one that the attempt has written; None before its first.
        clock: Event time that evidence has aged to.
    """

    holder: tuple[int, str, str]
    step: int | None
    clock: float


@dataclass(frozen=True, eq=False)
class Pool:
    """A run's tracker as it stood at one moment, prompts in the order of their ids, (P,) each.

    Attributes:
        stand: The moment.
        prompt_id: Ascending.
        alpha: As `tracker_state` has it, as the following ones.
    """

    stand: Stand
    prompt_id: IntArray
    alpha: FloatArray
    beta: FloatArray
    z: FloatArray
    visits: IntArray
    last_step: IntArray

    @property
    def clock(self) -> float:
        """The event time that evidence has aged to."""
        return self.stand.clock

    @cached_property
    def value(self) -> FloatArray:
        """v_hat, (P,)."""
        value: FloatArray = self.alpha / (self.alpha + self.beta)
        return value

    @cached_property
    def n_eff(self) -> FloatArray:
        """Evidence at the clock, in observations, (P,)."""
        n_eff: FloatArray = (self.alpha + self.beta) * np.exp(self.z - self.clock)
        return n_eff

    @cached_property
    def uncertainty(self) -> FloatArray:
        """The variance of the estimate, (P,)."""
        # Not from v_hat, which is 1 for values that only the counts tell apart.
        variance = self.alpha * self.beta / (self.alpha + self.beta) ** 2
        uncertainty: FloatArray = variance / np.maximum(self.n_eff, _TINY)
        return uncertainty

    def column(self, name: Sort) -> FloatArray | IntArray:
        """Numbers to order and filter by, (P,)."""
        found: FloatArray | IntArray = getattr(self, name)
        return found

    def ordered(self, sort: Sort, descending: bool, passing: Mask, start: int, limit: int) -> IntArray:
        """Places of the prompts that pass, by a column and then by their ids: `limit`, after the first `start`."""
        places = np.flatnonzero(passing)
        values = self.column(sort)[places]
        if descending:
            places, values = places[::-1], -values[::-1]
        return places[_smallest(values, start + limit)][start:]

    def beside(self, place: int, sort: Sort, passing: Mask) -> tuple[int | None, int | None]:
        """Places of the prompts that come before and after one in ascending order, of those that pass."""
        values, places = self.column(sort), np.arange(len(passing))
        here, same = values[place], values == values[place]
        below = np.flatnonzero(passing & ((values < here) | (same & (places < place))))
        above = np.flatnonzero(passing & ((values > here) | (same & (places > place))))
        before = below[values[below] == values[below].max()][-1] if below.size else None
        after = above[np.argmin(values[above])] if above.size else None
        return before, after

    def states(self, places: IntArray) -> list[PromptState]:
        """Rows of the table."""
        columns = (getattr(self, name)[places].tolist() for name in PromptState._fields)
        return list(map(PromptState, *columns))


def pool_of(reader: Reader, connection: Connection, run_id: int) -> Pool:
    """A run's pool as the connection sees it. This must be the first that it is asked: it sees the same from then on.

    So no thread is given a pool that is newer than what it asks next.
    """
    pool: Pool = reader.pools.renewed(run_id, partial(_renewed, connection, run_id))
    return pool


def _renewed(connection: Connection, run_id: int, known: Pool | None) -> Pool:
    now = _stand(connection, run_id)
    *_, status = now.holder
    if known is None or known.stand.holder != now.holder or status in _WITHOUT_STEPS:
        return Pool(now, **tracker.read_rows(connection, run_id))
    if known.stand.step == now.step:
        return known
    # An attempt's first record may be of the whole pool; a later one is of the prompts that it has observations of.
    if known.stand.step is None or _observations(connection, run_id, known.stand.step) > len(known.prompt_id):
        return Pool(now, **tracker.read_rows(connection, run_id))
    return _followed(connection, run_id, known, known.stand.step, now)


def _stand(connection: Connection, run_id: int) -> Stand:
    columns = (Run.attempt, Run.owner, Run.status, Run.clock)
    run = connection.execute(select(*columns).where(Run.id == run_id)).one()
    step = (
        select(StepSummary.step)
        .where(StepSummary.run_id == run_id, StepSummary.attempt == run.attempt)
        .order_by(StepSummary.step.desc())
        .limit(1)
    )
    return Stand((run.attempt, run.owner, run.status), connection.execute(step).scalar_one_or_none(), run.clock)


def _observations(connection: Connection, run_id: int, after_step: int) -> int:
    query = select(func.sum(StepSummary.observations)).where(
        StepSummary.run_id == run_id, StepSummary.step > after_step
    )
    return int(connection.execute(query).scalar_one() or 0)


def _followed(connection: Connection, run_id: int, known: Pool, after_step: int, now: Stand) -> Pool:
    """The pool after later steps, of which only the prompts are read that these have observed."""
    observed = select(Observation.prompt_id).where(Observation.run_id == run_id, Observation.step > after_step)
    query = select(*STATE_COLUMNS).where(_TABLE.c.run_id == run_id, _TABLE.c.prompt_id.in_(observed))
    changed = bulk.read_columns(connection, query)
    places = np.searchsorted(known.prompt_id, changed["prompt_id"])
    columns = {name: getattr(known, name).copy() for name in tracker.STATE}
    for name, values in columns.items():
        values[places] = changed[name]
    return replace(known, stand=now, **columns)


def _smallest(values: FloatArray | IntArray, most: int) -> IntArray:
    """Where the smallest values are, ascending; of equal ones, the first come first."""
    if most < len(values):
        bound = np.partition(values, most)[most]
        below, equal = np.flatnonzero(values < bound), np.flatnonzero(values == bound)
        found = np.sort(np.concatenate([below, equal[: most - len(below)]]))
    else:
        found = np.arange(len(values))
    return found[np.argsort(values[found], kind="stable")]
