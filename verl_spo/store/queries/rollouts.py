"""What the model answered: the texts that were kept, and how the rewards of some steps are spread."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, func, select, tuple_

from verl_spo.store import search
from verl_spo.store.database.reader import Reader
from verl_spo.store.queries.attempts import counts, of_attempt
from verl_spo.store.queries.history import ObservationRow, observation, of_prompt, of_run
from verl_spo.store.records import IntArray
from verl_spo.store.schema import Attempt, Observation, Prompt, Rollout
from verl_spo.store.text import Part, clean, unpack_rollout

Steps = tuple[int | None, int | None]
RolloutKey = tuple[int, int, int]
"""Step, attempt, and place in the step's batch."""

_CHUNK = 500
"""Rollouts that are looked at in one statement."""

_OBSERVATIONS = 50_000
"""Rewards that a histogram counts; these are read in about a tenth of a second."""

_key = tuple_(Rollout.step, Rollout.attempt, Rollout.seq)
_NEWEST_FIRST = (Rollout.step.desc(), Rollout.attempt.desc(), Rollout.seq.desc())
_OBSERVED = and_(
    Rollout.run_id == Observation.run_id,
    Rollout.step == Observation.step,
    Rollout.attempt == Observation.attempt,
    Rollout.seq == Observation.seq,
)


@dataclass(frozen=True)
class RolloutRow:
    """A trajectory with its text. It is whatever the model wrote: show it as text, never as markup.

    Attributes:
        observation: What came of it.
        data_source: Of its prompt.
        prompt: As the model read it; None where it was not kept.
        response: As the session went; likewise.
        parts: Who wrote which part of the response, where it has several.
    """

    observation: ObservationRow
    data_source: str
    prompt: str | None
    response: str | None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class RolloutFilter:
    """Which rollouts. Ranges include their ends; None leaves one open.

    Attributes:
        steps: Range of the training step.
        reward: Range of the reward.
        length: Range of the tokens that the model generated.
        finish: `stop` or `length`, exactly.
        source: `data_source`, exactly.
        words: That prompt or response must have, as `store.search` describes them.
    """

    steps: Steps = (None, None)
    reward: tuple[float | None, float | None] = (None, None)
    length: tuple[int | None, int | None] = (None, None)
    finish: str | None = None
    source: str | None = None
    words: str = ""


@dataclass(frozen=True)
class RolloutPage:
    """Some of the rollouts that a filter leaves, newest first.

    Attributes:
        rows: Those that were found.
        next: The key to go on from; None where the history has no more.
        looked_at: Rollouts that were read to find them.
        until_step: Step of the last one of those; None if there was none.
    """

    rows: tuple[RolloutRow, ...]
    next: RolloutKey | None
    looked_at: int
    until_step: int | None


@dataclass(frozen=True)
class RewardHistogram:
    """How rewards are spread.

    Attributes:
        counts: Observations, (bins,), in equal bins over [0, 1]; the last one has its upper end.
        since_step: The first step that was counted whole or in part; None if there is nothing to count.
        complete: Whether all of the range was counted, not only its newest part.
    """

    counts: IntArray
    since_step: int | None
    complete: bool


def rollouts(
    reader: Reader,
    run_id: int,
    where: RolloutFilter | None = None,
    after: RolloutKey | None = None,
    limit: int = 50,
    most: int = 5_000,
) -> RolloutPage:
    """A run's texts that were kept and still count, newest first.

    Args:
        reader: The database.
        run_id: Whose.
        where: Which.
        after: What the page before gave as `next`.
        limit: How many to find.
        most: How many to look at: a filter that leaves few does not read the whole history.
    """
    where = where or RolloutFilter()
    matches = _matcher(where.words)
    found: list[RolloutRow] = []
    looked_at, until = 0, after
    with reader.connect() as connection:
        while len(found) < limit and looked_at < most:
            keys = _keys(connection, run_id, where.steps, until, min(_CHUNK, most - looked_at))
            for row in _read(connection, run_id, where, keys, None if where.words else limit - len(found)):
                if matches(row):
                    found.append(row)
                if len(found) == limit:
                    keys = keys[: keys.index(row.observation.key) + 1]
                    break
            looked_at += len(keys)
            if not keys:
                return RolloutPage(tuple(found), None, looked_at, until[0] if until and looked_at else None)
            until = keys[-1]
    return RolloutPage(tuple(found), until, looked_at, until[0] if until else None)


def rollout(reader: Reader, run_id: int, step: int, attempt: int, seq: int) -> RolloutRow | None:
    """One rollout, superseded or not; None where no text of it is kept."""
    this = and_(Rollout.step == step, Rollout.attempt == attempt, Rollout.seq == seq)
    with reader.connect() as connection:
        row = connection.execute(_with_texts(of_run(run_id)).where(this)).one_or_none()
    return None if row is None else _row(row)


def prompt_rollouts(
    reader: Reader, run_id: int, prompt_id: int, limit: int = 20, where: RolloutFilter | None = None
) -> list[RolloutRow]:
    """The latest texts of a prompt that were kept, superseded ones included; words are looked for in these."""
    where = where or RolloutFilter()
    conditions = [*_within(Observation.step, where.steps), *_conditions(where)]
    query = _with_texts(of_prompt(run_id, prompt_id)).where(*conditions).limit(limit)
    with reader.connect() as connection:
        rows = [_row(row) for row in connection.execute(query)]
    return list(filter(_matcher(where.words), rows))


def reward_histogram(reader: Reader, run_id: int, steps: Steps = (None, None), bins: int = 20) -> RewardHistogram:
    """How the rewards of a range of steps are spread, of the newest of its observations; superseded ones left out."""
    newest = (
        select(Observation.step, Observation.reward)
        .join(Attempt, of_attempt(Observation))
        .where(Observation.run_id == run_id, counts(Observation), *_within(Observation.step, steps))
        .order_by(Observation.step.desc(), Observation.attempt.desc(), Observation.seq.desc())
        .limit(_OBSERVATIONS)
        .subquery()
    )
    query = select(newest.c.reward, func.count(), func.min(newest.c.step)).group_by(newest.c.reward)
    with reader.connect() as connection:
        rows = connection.execute(query).all()
    rewards, numbers, since = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    places = np.clip((rewards * bins).astype(np.int64), 0, bins - 1)
    counted = np.bincount(places, weights=numbers, minlength=bins).astype(np.int64)
    return RewardHistogram(counted, int(since.min()) if rows else None, bool(counted.sum() < _OBSERVATIONS))


def _keys(connection: Connection, run_id: int, steps: Steps, after: RolloutKey | None, limit: int) -> list[RolloutKey]:
    """The next rollouts of a run, whatever they are, by their index alone."""
    query = (
        select(Rollout.step, Rollout.attempt, Rollout.seq)
        .where(Rollout.run_id == run_id, *_within(Rollout.step, steps))
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    if after is not None:
        query = query.where(_key < tuple_(*after))
    return [(row.step, row.attempt, row.seq) for row in connection.execute(query)]


def _read(
    connection: Connection, run_id: int, where: RolloutFilter, keys: Sequence[RolloutKey], limit: int | None
) -> Iterator[RolloutRow]:
    """Of rollouts that follow each other, those that a filter leaves but for its words."""
    if not keys:
        return
    query = (
        _with_texts(of_run(run_id))
        .where(Rollout.run_id == run_id, _key <= tuple_(*keys[0]), _key >= tuple_(*keys[-1]))
        .where(counts(Observation), *_conditions(where))
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    for row in connection.execute(query):
        yield _row(row)


def _conditions(where: RolloutFilter) -> list[Any]:
    conditions = [*_within(Observation.reward, where.reward), *_within(Observation.response_length, where.length)]
    if where.finish is not None:
        conditions.append(Observation.finish == where.finish)
    if where.source is not None:
        conditions.append(Prompt.data_source == clean(where.source))
    return conditions


def _within(column: Any, ends: tuple[Any, Any]) -> list[Any]:
    low, high = ends
    return [*([] if low is None else [column >= low]), *([] if high is None else [column <= high])]


def _with_texts(query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    joined = query.join(Rollout, _OBSERVED).join(Prompt, Prompt.id == Observation.prompt_id)
    return joined.add_columns(Prompt.data_source, Rollout.content)


def _matcher(words: str) -> Callable[[RolloutRow], bool]:
    query = search.parse(words)
    if not query:
        return lambda row: True
    test = search.matcher(query)
    return lambda row: test(f"{row.prompt or ''}\n{row.response or ''}")


def _row(row: Any) -> RolloutRow:
    return RolloutRow(observation(row), row.data_source, *unpack_rollout(row.content))
