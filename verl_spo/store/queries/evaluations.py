"""Results of benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import kept_through
from verl_spo.store.schema import Evaluation


@dataclass(frozen=True)
class EvaluationRow:
    """One result; `low` and `high` are the ends of its confidence interval, if known."""

    step: int
    attempt: int
    benchmark: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    samples: int
    time: float
    details: Mapping[str, Any]


def evaluations(reader: Reader, run_id: int) -> list[EvaluationRow]:
    """A run's results, by step, benchmark and metric; what is superseded is left out."""
    columns = (Evaluation.__table__.c[name] for name in EvaluationRow.__annotations__)
    order = (Evaluation.step, Evaluation.attempt, Evaluation.benchmark, Evaluation.metric)
    query = select(*columns).where(Evaluation.run_id == run_id).order_by(*order)
    with reader.connect() as connection:
        kept = kept_through(connection, run_id)
        rows = [EvaluationRow(**row._mapping) for row in connection.execute(query)]
    return [row for row in rows if row.step <= kept[row.attempt]]
