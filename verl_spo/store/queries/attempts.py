"""Which rows of a run still count."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from verl_spo.store.schema import Attempt, Evaluation, Observation, StepSummary

_ALL = 2**62


def kept_through(connection: Connection, run_id: int) -> Mapping[int, int]:
    """The last step of each attempt that counts."""
    rows = connection.execute(select(Attempt.attempt, Attempt.kept_through).where(Attempt.run_id == run_id))
    return {row.attempt: _ALL if row.kept_through is None else row.kept_through for row in rows}


def of_attempt(table: type[Observation | StepSummary | Evaluation]) -> ColumnElement[bool]:
    """The join of a row with its attempt."""
    return and_(Attempt.run_id == table.run_id, Attempt.attempt == table.attempt)


def counts(table: type[Observation | StepSummary | Evaluation]) -> ColumnElement[bool]:
    """Whether a row, joined with its attempt, is not superseded."""
    return or_(Attempt.kept_through.is_(None), table.step <= Attempt.kept_through)
