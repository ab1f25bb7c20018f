"""What happened to one prompt."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import aliased

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.queries.rows import columns_of
from verl_spo.store.schema import Attempt, Observation


@dataclass(frozen=True)
class ObservationRow:
    """One finished trajectory of a prompt.

    Attributes:
        seq: Its place in the step's batch.
        response_length: Tokens that the model generated.
        superseded: Whether its run went back to before it.
        finish: `stop` or `length`; None: not known, as the next two.
        seconds: That the session generated and waited for tools.
        turns: Messages that the model wrote in the session.
    """

    step: int
    attempt: int
    seq: int
    prompt_id: int
    policy_version: int
    reward: float
    baseline: float | None
    advantage: float | None
    rho: float | None
    policy_change: float | None
    alpha: float
    beta: float
    response_length: int
    uid: str
    superseded: bool
    finish: str | None = None
    seconds: float | None = None
    turns: int | None = None

    @property
    def value(self) -> float:
        """v_hat after the step."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def key(self) -> tuple[int, int, int]:
        """Which one of its run it is."""
        return self.step, self.attempt, self.seq


def prompt_history(
    reader: Reader, run_id: int, prompt_id: int, before_step: int | None = None, limit: int = 1000
) -> list[ObservationRow]:
    """A prompt's observations, latest first, superseded ones included; those before a step, for the next page."""
    query = of_prompt(run_id, prompt_id).limit(limit)
    if before_step is not None:
        query = query.where(Observation.step < before_step)
    with reader.connect() as connection:
        return [observation(row) for row in connection.execute(query)]


def of_prompt(run_id: int, prompt_id: int) -> Select[*tuple[Any, ...]]:
    """A prompt's observations, latest first."""
    # Found in the index first: SQLite would rather read all that a run has than look rows up by what an index says.
    place = aliased(Observation)
    same = and_(*(getattr(place, name) == getattr(Observation, name) for name in ("run_id", "step", "attempt", "seq")))
    return (
        of_run(run_id)
        .join(place, same)
        .where(place.run_id == run_id, place.prompt_id == prompt_id)
        .order_by(place.step.desc(), place.attempt.desc(), place.seq.desc())
    )


def of_run(run_id: int) -> Select[*tuple[Any, ...]]:
    """A run's observations, joined with their attempts."""
    superseded = (~counts(Observation)).label("superseded")
    return (
        select(*columns_of(Observation, ObservationRow), superseded)
        .join(Attempt, of_attempt(Observation))
        .where(Observation.run_id == run_id)
    )


def observation(row: Any) -> ObservationRow:
    """A row of such a query."""
    values = {name: value for name, value in row._mapping.items() if name in ObservationRow.__annotations__}
    return ObservationRow(**{**values, "superseded": bool(row.superseded)})
