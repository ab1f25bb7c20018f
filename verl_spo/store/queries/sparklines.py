"""How the values of a page's prompts moved lately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Select, and_, bindparam, select, union_all
from sqlalchemy.orm import aliased

from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.schema import Attempt, Observation

_KEY = ("run_id", "step", "attempt", "seq")


@dataclass(frozen=True)
class Sparkline:
    """A prompt's v_hat after each of its last visits, oldest first, and the steps of these."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def trend(self) -> float | None:
        """v_hat after the last of them minus v_hat after the first; None if there are fewer than two."""
        return self.values[-1] - self.values[0] if len(self.values) > 1 else None


def sparklines(reader: Reader, run_id: int, prompt_ids: Sequence[int], points: int = 20) -> Mapping[int, Sparkline]:
    """At most so many visits of each prompt, none for one without any. What is superseded is left out."""
    if not prompt_ids:
        return {}
    visits: dict[int, list[Any]] = {prompt_id: [] for prompt_id in prompt_ids}
    given = {_name(place): prompt_id for place, prompt_id in enumerate(visits)}
    with reader.connect() as connection:
        for row in connection.execute(_statement(len(visits)), {"run_id": run_id, "points": points, **given}):
            visits[row.prompt_id].append(row)
    return {prompt_id: _sparkline(rows) for prompt_id, rows in visits.items()}


@cache
def _statement(prompts: int) -> CompoundSelect[*tuple[Any, ...]]:
    """Made once: to put it together takes longer than to run it."""
    return union_all(*(_latest(bindparam(_name(place))) for place in range(prompts)))


def _name(place: int) -> str:
    return f"prompt_{place}"


def _latest(prompt_id: BindParameter[int]) -> Select[*tuple[Any, ...]]:
    # Found in the index first: SQLite would rather read all that a run has than look rows up by what an index says.
    visit = aliased(Observation)
    places = (
        select(*(getattr(visit, name) for name in _KEY))
        .join(Attempt, of_attempt(visit))
        .where(visit.run_id == bindparam("run_id"), visit.prompt_id == prompt_id, counts(visit))
        .order_by(visit.step.desc(), visit.attempt.desc(), visit.seq.desc())
        .limit(bindparam("points"))
        .subquery()
    )
    same = and_(*(getattr(Observation, name) == places.c[name] for name in _KEY))
    columns = ("prompt_id", "step", "attempt", "seq", "alpha", "beta")
    return select(*(getattr(Observation, name) for name in columns)).join(places, same)


def _sparkline(rows: Sequence[Any]) -> Sparkline:
    ordered = sorted(rows, key=lambda row: (row.step, row.attempt, row.seq))
    return Sparkline(tuple(row.step for row in ordered), tuple(row.alpha / (row.alpha + row.beta) for row in ordered))
