"""Scores from before training, from a file, as a run that others can begin from (`spo.init=run`)."""

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Engine, select, update

from verl_spo.core.estimates import Estimates
from verl_spo.errors import StoreError
from verl_spo.store import bulk
from verl_spo.store.records import RunInfo, TrackerRows
from verl_spo.store.runs import claims
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import InitScore, Prompt, Run, table_of
from verl_spo.store.text import clean, content_text

_CHUNK = 10_000


@dataclass(frozen=True)
class Matched:
    """How many of a file's prompts the database knows, and how many it does not."""

    known: int
    unknown: int


def import_scores(engine: Engine, name: str, scores: Mapping[str, Sequence[float]], n_eff: float) -> Matched:
    """Make a run whose tracker holds the scores' estimates: Jeffreys' (successes + 1/2) / (n + 1), with `n_eff`.

    Args:
        engine: The database; it must know the prompts, from a run on the same data.
        name: Of the new run.
        scores: In [0, 1], by the prompt's digest in hex or the text of its last message.
        n_eff: Evidence of an estimate, in observations.

    Raises:
        StoreError: There is a run of that name, a score is outside [0, 1], no prompt is known, or `n_eff` is no number
            of observations.
    """
    if not 0 < n_eff < math.inf:
        raise StoreError(f"evidence {n_eff:g}: must be a number of observations above 0 (--n-eff)")
    for prompt, values in scores.items():
        if not values or not all(0 <= value <= 1 for value in values):
            shown = list(values)[:4]
            raise StoreError(f"prompt {prompt[:60]!r}: its scores {shown} must be in [0, 1], and at least one")
    with engine.begin() as connection:
        if claims.lock(connection, name) is not None:
            raise StoreError(f"run {name!r}: there is one of this name; choose another (--as)")
        found = _by_prompt(connection, scores)
        if not found:
            raise StoreError(
                "none of the file's prompts is in the database: train on the same data first, so that it knows them"
            )
        _create(connection, name, found, n_eff)
    # Prompts of the same text share the file's scores.
    return Matched(len(found), len(scores) - len({key for key, _ in found.values()}))


def _by_prompt(connection: Connection, scores: Mapping[str, Sequence[float]]) -> dict[int, tuple[str, Sequence[float]]]:
    """Scores, with the name that the file has for them, by prompt id."""
    found: dict[int, tuple[str, Sequence[float]]] = {}
    query = select(Prompt.id, Prompt.digest, Prompt.messages)
    for prompt_id, digest, messages in connection.execute(query, execution_options={"yield_per": _CHUNK}):
        text = content_text(messages[-1]).strip() if messages else ""
        for key in (bytes(digest).hex(), text):
            if key in scores:
                found[prompt_id] = (key, scores[key])
                break
    return found


def _create(connection: Connection, name: str, found: Mapping[int, tuple[str, Sequence[float]]], n_eff: float) -> None:
    ids = np.array(sorted(found), dtype=np.int64)
    counts = np.array([len(found[prompt][1]) for prompt in ids.tolist()])
    sums = np.array([sum(found[prompt][1]) for prompt in ids.tolist()])
    value = Estimates(counts, sums).values(prior=0.5)
    rows = TrackerRows(
        slots=np.arange(len(ids)),
        alpha=n_eff * value,
        beta=n_eff * (1 - value),
        z=np.zeros(len(ids)),
        visits=np.zeros(len(ids), dtype=np.int64),
        last_step=np.zeros(len(ids), dtype=np.int64),
    )
    info = RunInfo(clean(name), {}, {}, None, "", b"", uuid.uuid4().hex)
    claim = claims.claim(connection, info, ids, rows, 0.0, None)
    run = np.full(len(ids), claim.run_id)
    scores = {"run_id": run, "prompt_id": ids, "responses": counts, "reward_sum": sums}
    bulk.insert_columns(connection, table_of(InitScore), scores)
    ended = {"status": Status.IMPORTED, "ended_at": time.time()}
    connection.execute(update(Run).where(Run.id == claim.run_id).values(ended))
