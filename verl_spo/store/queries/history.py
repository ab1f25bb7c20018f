"""What happened to one prompt, and what the model answered."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import aliased

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.queries.rows import columns_of
from verl_spo.store.schema import Attempt, Observation, Rollout
from verl_spo.store.text import unpack_rollout


@dataclass(frozen=True)
class ObservationRow:
    """One finished trajectory of a prompt; `superseded` if its run went back to before it."""

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

    @property
    def value(self) -> float:
        """v_hat after the step."""
        return self.alpha / (self.alpha + self.beta)


@dataclass(frozen=True)
class RolloutRow:
    """A trajectory with its text. It is whatever the model wrote: show it as text, never as markup."""

    observation: ObservationRow
    prompt: str | None
    response: str | None


def prompt_history(
    reader: Reader, run_id: int, prompt_id: int, before_step: int | None = None, limit: int = 1000
) -> list[ObservationRow]:
    """A prompt's observations, latest first, superseded ones included; those before a step, for the next page."""
    query = _of_prompt(run_id, prompt_id, limit)
    if before_step is not None:
        query = query.where(Observation.step < before_step)
    with reader.connect() as connection:
        return [_observation(row) for row in connection.execute(query)]


def prompt_rollouts(reader: Reader, run_id: int, prompt_id: int, limit: int = 20) -> list[RolloutRow]:
    """The latest texts of a prompt that were kept, superseded ones included."""
    return _rollouts(reader, _of_prompt(run_id, prompt_id, limit))


def recent_rollouts(reader: Reader, run_id: int, before_step: int | None = None, limit: int = 20) -> list[RolloutRow]:
    """The run's latest texts that were kept and still count; those before a step, for the next page."""
    query = (
        _observations(run_id, limit)
        .where(counts(Observation))
        .order_by(Rollout.step.desc(), Rollout.attempt.desc(), Rollout.seq.desc())
        .where(Rollout.run_id == run_id)
    )
    if before_step is not None:
        query = query.where(Rollout.step < before_step)
    return _rollouts(reader, query)


def _of_prompt(run_id: int, prompt_id: int, limit: int) -> Select[*tuple[Any, ...]]:
    # Found in the index first: SQLite would rather read all that a run has than look rows up by what an index says.
    place = aliased(Observation)
    same = and_(*(getattr(place, name) == getattr(Observation, name) for name in ("run_id", "step", "attempt", "seq")))
    return (
        _observations(run_id, limit)
        .join(place, same)
        .where(place.run_id == run_id, place.prompt_id == prompt_id)
        .order_by(place.step.desc(), place.attempt.desc(), place.seq.desc())
    )


def _observations(run_id: int, limit: int) -> Select[*tuple[Any, ...]]:
    superseded = (~counts(Observation)).label("superseded")
    return (
        select(*columns_of(Observation, ObservationRow), superseded)
        .join(Attempt, of_attempt(Observation))
        .where(Observation.run_id == run_id)
        .limit(limit)
    )


def _rollouts(reader: Reader, query: Select[*tuple[Any, ...]]) -> list[RolloutRow]:
    same = and_(
        Rollout.run_id == Observation.run_id,
        Rollout.step == Observation.step,
        Rollout.attempt == Observation.attempt,
        Rollout.seq == Observation.seq,
    )
    with reader.connect() as connection:
        rows = connection.execute(query.join(Rollout, same).add_columns(Rollout.content)).all()
    return [RolloutRow(_observation(row), *unpack_rollout(row.content)) for row in rows]


def _observation(row: Any) -> ObservationRow:
    values = {name: value for name, value in row._mapping.items() if name in ObservationRow.__annotations__}
    return ObservationRow(**{**values, "superseded": bool(row.superseded)})
