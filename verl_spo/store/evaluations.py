"""Evaluations into tables: which problems, the samples of them, what scorers say. Repeating anything adds nothing."""

import json
import time as clock_of_day
from collections.abc import Iterable, Sequence, Set
from hashlib import blake2b
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, delete, func, insert, select, tuple_, update

from verl_spo.store import bulk, prompts
from verl_spo.store.database.urls import without_secrets
from verl_spo.store.records import EvaluationInfo, Finish, Samples, Verdicts
from verl_spo.store.schema import Evaluation, EvaluationProblem, Run, Sample, SampleText, Verdict, table_of
from verl_spo.store.text import clean, dump_json, pack_rollout

REWARD = "reward"
"""The scorer that is the recipe's own reward function."""

_DIGEST_BYTES = 16
_LONGEST = 1000
"""Characters of an answer that are kept."""


def begin(connection: Connection, info: EvaluationInfo, run_id: int | None = None, attempt: int | None = None) -> int:
    """Find an evaluation, or make it; asking for more samples than before raises what it wants.

    Args:
        connection: In a transaction.
        info: What is evaluated, on what and how.
        run_id: Of the run that the policy is of; None for a model of no run.
        attempt: Of that run.

    Returns:
        Its id.
    """
    ids = prompts.register_in(connection, info.problems)
    problems = digest_of_problems(problem.digest for problem in info.problems)
    digest = _identity(info, problems, _uid_of(connection, run_id), attempt)
    _wait_for_others(connection, digest)
    mine = Evaluation.run_id.is_not_distinct_from(run_id)
    known = select(Evaluation.id).where(mine, Evaluation.digest == digest)
    if (found := connection.execute(known).scalar_one_or_none()) is not None:
        more = update(Evaluation).where(Evaluation.id == found, Evaluation.wanted < info.wanted)
        connection.execute(more.values(wanted=info.wanted))
        return int(found)
    row = {
        "digest": digest,
        "run_id": run_id,
        "attempt": attempt,
        "step": info.step,
        "model": clean(info.model),
        "benchmark": clean(info.benchmark),
        "problems": len(info.problems),
        "problems_digest": problems,
        "wanted": info.wanted,
        "origin": info.origin,
        "settings": without_secrets(dict(info.settings)),
        "started_at": clock_of_day.time(),
        "text_bytes": 0,
    }
    evaluation = int(connection.execute(insert(Evaluation).values(row).returning(Evaluation.id)).scalar_one())
    places = [
        {"evaluation_id": evaluation, "place": place, "prompt_id": each} for place, each in enumerate(ids.tolist())
    ]
    connection.execute(insert(EvaluationProblem), places)
    return evaluation


def _wait_for_others(connection: Connection, digest: bytes) -> None:
    """Let one process after the other look for an evaluation and make it; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(digest[:8], signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def digest_of_problems(digests: Iterable[bytes]) -> bytes:
    """Identity of a benchmark, by those of its problems in order."""
    return blake2b(b"".join(digests), digest_size=_DIGEST_BYTES).digest()


def add_samples(connection: Connection, evaluation: int, samples: Samples, time: float, budget: int | None) -> None:
    """Add the samples that are not there yet, with the verdicts of the recipe's own reward function.

    A sample whose session has failed before is replaced. Several processes may answer one evaluation: of a sample that
    two of them bring, the first counts.

    Args:
        connection: In a transaction.
        evaluation: Whose they are.
        samples: All or some.
        time: When they were there, seconds since the epoch.
        budget: Bytes of compressed text that the policy's evaluations may keep, as for `trim`; None keeps all.
    """
    # Whoever else adds to it waits here, and then sees what is there.
    connection.execute(select(Evaluation.id).where(Evaluation.id == evaluation).with_for_update())
    there = set(sample_keys(connection, evaluation))
    new = [row for row, key in enumerate(_keys(samples)) if key not in there]
    if not new:
        return
    _forget_failed(connection, evaluation, {_keys(samples)[row] for row in new})
    columns = _of(evaluation, samples, new)
    bulk.insert_columns(
        connection,
        table_of(Sample),
        {
            **columns,
            "finish": [samples.finish[row] for row in new],
            "length": samples.length[new].tolist(),
            "seed": samples.seed[new].tolist(),
            "policy_version": samples.policy_version[new].tolist(),
            "time": [time] * len(new),
        },
    )
    judged = [row for row in new if not np.isnan(samples.reward[row])]
    found = [clean(samples.found[row]) for row in judged]
    set_verdicts(
        connection,
        evaluation,
        REWARD,
        Verdicts(
            place=samples.place[judged].tolist(),
            sample=samples.sample[judged].tolist(),
            score=samples.reward[judged].tolist(),
            found=found,
            vote=[text.strip() for text in found],
            failed=[False] * len(judged),
        ),
    )
    _keep_texts(connection, evaluation, samples, new, budget)


def set_verdicts(connection: Connection, evaluation: int, scorer: str, verdicts: Verdicts) -> None:
    """Write what a scorer says; what it said of the same samples before is replaced."""
    count = len(verdicts.place)
    if not count:
        return
    columns: dict[str, Sequence[Any]] = {
        "evaluation_id": [evaluation] * count,
        "scorer": [scorer] * count,
        "place": verdicts.place,
        "sample": verdicts.sample,
        "score": verdicts.score,
        "found": [_short(text) for text in verdicts.found],
        "vote": [_short(text) for text in verdicts.vote],
        "failed": [int(each) for each in verdicts.failed],
    }
    bulk.upsert_columns(connection, table_of(Verdict), columns)


def sample_keys(connection: Connection, evaluation: int) -> list[tuple[int, int]]:
    """Place and number of the samples that are there; those that failed are not."""
    there = and_(Sample.evaluation_id == evaluation, Sample.finish != Finish.FAILED)
    return [(row.place, row.sample) for row in connection.execute(select(Sample.place, Sample.sample).where(there))]


def trim(connection: Connection, evaluation: int, budget: int) -> None:
    """Delete texts, those of the oldest evaluations first, until those of a run, or of a model, fit into a budget.

    Args:
        connection: In a transaction.
        evaluation: One of them, whose own texts stay unless the budget is 0.
        budget: Bytes of compressed text; 0 keeps none.
    """
    one = select(Evaluation.run_id, Evaluation.model).where(Evaluation.id == evaluation)
    run_id, model = connection.execute(one).one()
    mine = (
        Evaluation.run_id == run_id
        if run_id is not None
        else and_(Evaluation.run_id.is_(None), Evaluation.model == model)
    )
    total = connection.execute(select(func.sum(Evaluation.text_bytes)).where(mine)).scalar_one()
    others = select(Evaluation.id, Evaluation.text_bytes).where(mine, Evaluation.text_bytes > 0)
    if budget:
        others = others.where(Evaluation.id != evaluation)
    for other, size in connection.execute(others.order_by(Evaluation.started_at, Evaluation.id)).all():
        if total <= budget:
            return
        connection.execute(delete(SampleText).where(SampleText.evaluation_id == other))
        connection.execute(update(Evaluation).where(Evaluation.id == other).values(text_bytes=0))
        total -= size


def _forget_failed(connection: Connection, evaluation: int, keys: Set[tuple[int, int]]) -> None:
    """Delete those of some samples that have failed: others take their places."""
    lost = and_(Sample.evaluation_id == evaluation, Sample.finish == Finish.FAILED)
    rows = connection.execute(select(Sample.place, Sample.sample).where(lost)).all()
    if again := [tuple(row) for row in rows if tuple(row) in keys]:
        connection.execute(delete(Sample).where(lost, tuple_(Sample.place, Sample.sample).in_(again)))


def _short(text: str) -> str:
    """An answer as it is kept; of one that is too long to be an answer the beginning, and what tells it from others."""
    text = clean(text)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}… {blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()}"


def _identity(info: EvaluationInfo, problems: bytes, run_uid: str | None, attempt: int | None) -> bytes:
    of_policy = [run_uid, attempt] if run_uid is not None else [info.model]
    document = [
        of_policy,
        info.step,
        info.benchmark,
        problems.hex(),
        info.origin,
        json.loads(dump_json(dict(info.settings))),
    ]
    return blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=_DIGEST_BYTES).digest()


def _uid_of(connection: Connection, run_id: int | None) -> str | None:
    return None if run_id is None else connection.execute(select(Run.uid).where(Run.id == run_id)).scalar_one()


def _keys(samples: Samples) -> list[tuple[int, int]]:
    return list(zip(samples.place.tolist(), samples.sample.tolist(), strict=True))


def _of(evaluation: int, samples: Samples, rows: list[int]) -> dict[str, Any]:
    return {
        "evaluation_id": [evaluation] * len(rows),
        "place": samples.place[rows].tolist(),
        "sample": samples.sample[rows].tolist(),
    }


def _keep_texts(connection: Connection, evaluation: int, samples: Samples, rows: list[int], budget: int | None) -> None:
    texts = [(samples.prompt_text[row], samples.response_text[row]) for row in rows]
    kept = [place for place, (_, response) in enumerate(texts) if response is not None]
    if not kept or budget == 0:
        return
    packed = [pack_rollout(*texts[place]) for place in kept]
    columns = {**_of(evaluation, samples, [rows[place] for place in kept]), "content": packed}
    names = list(columns)
    bulk.insert_rows(connection, table_of(SampleText), names, zip(*columns.values(), strict=True))
    size = Evaluation.text_bytes + sum(map(len, packed))
    connection.execute(update(Evaluation).where(Evaluation.id == evaluation).values(text_bytes=size))
    if budget is not None:
        trim(connection, evaluation, budget)
