"""How far back a query may read a run's observations, of which there are tens of millions."""

from itertools import groupby

from sqlalchemy import Connection, select

from verl_spo.store.schema import StepSummary

MOST_OBSERVATIONS = 200_000
"""Observations that a query reads, at most; superseded ones count as the others do."""

_MOST_STEPS = 20_000


def first_step(connection: Connection, run_id: int, until: int | None = None) -> int:
    """The first of the latest steps that have at most `MOST_OBSERVATIONS` together, or the last step if it has more.

    Args:
        connection: To the database.
        run_id: The run.
        until: The last step to look at; by default the run's last one.
    """
    query = (
        select(StepSummary.step, StepSummary.observations)
        .where(StepSummary.run_id == run_id)
        .order_by(StepSummary.step.desc(), StepSummary.attempt.desc())
        .limit(_MOST_STEPS)
    )
    if until is not None:
        query = query.where(StepSummary.step <= until)
    first, total = None, 0
    for step, attempts in groupby(connection.execute(query), lambda row: int(row.step)):
        total += sum(row.observations for row in attempts)
        if total > MOST_OBSERVATIONS and first is not None:
            break
        first = step
    return first or 0
