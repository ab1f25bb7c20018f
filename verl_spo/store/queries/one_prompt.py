"""One prompt among the others of its run, and in other runs."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import and_, select

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.pool import Sort, pool_of
from verl_spo.store.queries.prompt_filters import PromptFilter, passing
from verl_spo.store.queries.prompts import estimate
from verl_spo.store.schema import Run, TrackerState, table_of


@dataclass(frozen=True)
class PromptInRun:
    """What one run knows of a prompt.

    Attributes:
        run_id: Of the run.
        run: Its name.
        value: v_hat.
        low: Lower end of the 90 % interval of the success rate.
        high: Upper end.
        n_eff: Evidence at the run's clock, in observations.
        last_step: 0 if it was never visited.
    """

    run_id: int
    run: str
    value: float
    low: float
    high: float
    n_eff: float
    visits: int
    last_step: int


def prompt_neighbours(
    reader: Reader,
    run_id: int,
    prompt_id: int,
    sort: Sort = "value",
    descending: bool = False,
    where: PromptFilter | None = None,
) -> tuple[int | None, int | None]:
    """The prompts before and after one in an order, of those that a filter leaves; the one itself need not be."""
    with reader.connect(snapshot=True) as connection:
        pool = pool_of(reader, connection, run_id)
        (found,) = np.nonzero(pool.prompt_id == prompt_id)
        if not found.size:
            return None, None
        left = passing(reader, connection, run_id, pool, where or PromptFilter())
    beside = [None if place is None else int(pool.prompt_id[place]) for place in pool.beside(found[0], sort, left)]
    before, after = reversed(beside) if descending else beside
    return before, after


def prompt_in_runs(reader: Reader, prompt_id: int, limit: int = 50) -> list[PromptInRun]:
    """What runs know of a prompt, newest run first."""
    state = table_of(TrackerState).c
    same = and_(TrackerState.run_id == Run.id, TrackerState.prompt_id == prompt_id)
    query = (
        select(Run.id, Run.name, Run.clock, state.alpha, state.beta, state.z, state.visits, state.last_step)
        .join(TrackerState, same)
        .order_by(Run.created_at.desc(), Run.id.desc())
        .limit(limit)
    )
    with reader.connect() as connection:
        return [
            PromptInRun(row.id, row.name, **estimate(row, row.clock), visits=row.visits, last_step=row.last_step)
            for row in connection.execute(query)
        ]
