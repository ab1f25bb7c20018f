"""Records into tables: several whole records a transaction, each once, and only by the run's owner."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from sqlalchemy import Connection, delete, func, insert, select, update

from verl_spo.store import bulk, evaluations, tracker
from verl_spo.store.database.urls import without_secrets
from verl_spo.store.records import (
    EvaluationRecord,
    InitScores,
    IntArray,
    MetricsRecord,
    Observations,
    Record,
    StepRecord,
    TrackerRows,
    array_fields,
)
from verl_spo.store.runs import claims
from verl_spo.store.runs.claims import Claim
from verl_spo.store.schema import (
    InitScore,
    Metric,
    Observation,
    Rollout,
    Run,
    Series,
    StepSummary,
    table_of,
)
from verl_spo.store.text import clean, pack_rollout
from verl_spo.store.writing.spool import Entry

_OBSERVATIONS = table_of(Observation)
# The slot stands for the prompt, whose id the table has; turns that are not known are NULL there.
_ARRAYS = [name for name in array_fields(Observations) if name not in ("slot", "turns")]


class Applier:
    """Writes one claimed run's records. A record is in the database wholly or not at all, and never twice."""

    def __init__(self, claim: Claim, prompt_ids: IntArray, rollout_budget: int) -> None:
        """
        Args:
            claim: The run.
            prompt_ids: Of the pool's slots, (P,).
            rollout_budget: Bytes of compressed text that the run may keep.
        """
        self.owner = claim.owner
        self._claim = claim
        self._ids = prompt_ids
        self._budget = rollout_budget
        self._series: dict[str, int] = {}

    def apply(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Write numbered records, those that the database has already left out; the caller commits.

        A spool that took only part of a group has that part twice.
        """
        applied = claims.fence(connection, self._claim)
        records: list[Record] = []
        for number, record in entries:
            if number > applied:
                records.append(record)
                applied = number
        if not records:
            return
        steps = [record for record in records if isinstance(record, StepRecord)]
        if steps:
            self._insert_observations(connection, steps)
            self._insert_summaries(connection, steps)
            self._update_tracker(connection, [step.tracker for step in steps])
            self._keep_rollouts(connection, steps)
        self._write_metrics(
            connection, [record for record in records if isinstance(record, StepRecord | MetricsRecord)]
        )
        for record in records:
            if isinstance(record, InitScores):
                self._write_init_scores(connection, record)
            elif isinstance(record, EvaluationRecord):
                self._write_evaluation(connection, record)
        progress: dict[str, Any] = {"last_step": steps[-1].step, "clock": steps[-1].clock} if steps else {}
        if progress.get("last_step"):
            progress["phase"] = None
        claims.touch(connection, self._claim, applied=applied, **progress)

    def rolled_back(self) -> None:
        """Forget what a transaction that failed seemed to have made."""
        self._series.clear()

    def beat(self, connection: Connection, **changes: Any) -> None:
        """Give a sign of life, and change columns of the run."""
        claims.beat(connection, self._claim, **changes)

    def _key(self, step: int) -> dict[str, int]:
        return {"run_id": self._claim.run_id, "step": step, "attempt": self._claim.attempt}

    def _insert_observations(self, connection: Connection, steps: Sequence[StepRecord]) -> None:
        batches = [step.observations for step in steps]
        sizes = [len(batch) for batch in batches]
        columns: dict[str, Any] = {
            "run_id": np.full(sum(sizes), self._claim.run_id),
            "step": np.repeat([step.step for step in steps], sizes),
            "attempt": np.full(sum(sizes), self._claim.attempt),
            "seq": np.concatenate([np.arange(size) for size in sizes]),
            "prompt_id": self._ids[np.concatenate([batch.slot for batch in batches])],
            **{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in _ARRAYS},
            "uid": [clean(uid) for batch in batches for uid in batch.uid],
            "finish": [end for batch in batches for end in batch.finish or [None] * len(batch)],
            "turns": np.concatenate([np.where(batch.turns < 0, np.nan, batch.turns) for batch in batches]),
        }
        bulk.insert_columns(connection, _OBSERVATIONS, columns)

    def _update_tracker(self, connection: Connection, changes: Sequence[TrackerRows]) -> None:
        joined = {f.name: np.concatenate([getattr(rows, f.name) for rows in changes]) for f in fields(TrackerRows)}
        # Of a prompt's several states the last one counts.
        slots, last = np.unique(joined["slots"][::-1], return_index=True)
        rows = TrackerRows(**{name: values[::-1][last] for name, values in joined.items()})
        tracker.update(connection, self._claim.run_id, self._ids[slots], rows)

    def _insert_summaries(self, connection: Connection, steps: Sequence[StepRecord]) -> None:
        connection.execute(insert(StepSummary), [{**self._key(step.step), **_summary(step)} for step in steps])

    def _keep_rollouts(self, connection: Connection, steps: Sequence[StepRecord]) -> None:
        rows: list[dict[str, Any]] = [
            {**self._key(step.step), "seq": place, "content": content, "size": len(content)}
            for step in steps
            for place, content in _texts(step.observations)
        ]
        if not rows or not self._budget:
            return
        connection.execute(insert(Rollout), rows)
        run = select(Run.rollout_bytes).where(Run.id == self._claim.run_id)
        kept = connection.execute(run).scalar_one() + sum(row["size"] for row in rows)
        kept -= self._make_room(connection, kept - self._budget)
        connection.execute(update(Run).where(Run.id == self._claim.run_id).values(rollout_bytes=kept))

    def _make_room(self, connection: Connection, wanted: int) -> int:
        """Delete the texts of the oldest steps; returns the bytes that went."""
        if wanted <= 0:
            return 0
        mine = Rollout.run_id == self._claim.run_id
        query = select(Rollout.step, func.sum(Rollout.size)).where(mine).group_by(Rollout.step).order_by(Rollout.step)
        gone = 0
        for step, size in connection.execute(query):
            gone += int(size)
            if gone >= wanted:
                connection.execute(delete(Rollout).where(mine, Rollout.step <= step))
                break
        return gone

    def _write_metrics(self, connection: Connection, records: Sequence[StepRecord | MetricsRecord]) -> None:
        numbers = {(clean(name), r.step): float(value) for r in records for name, value in r.metrics.items()}
        if not numbers:
            return
        self._learn_series(connection, {name for name, _ in numbers})
        columns: dict[str, list[Any]] = {
            "series_id": [self._series[name] for name, _ in numbers],
            "step": [step for _, step in numbers],
            "attempt": [self._claim.attempt] * len(numbers),
            "value": [_number(value) for value in numbers.values()],
        }
        bulk.upsert_columns(connection, table_of(Metric), columns)

    def _learn_series(self, connection: Connection, names: set[str]) -> None:
        if not (new := sorted(names - self._series.keys())):
            return
        run_id = self._claim.run_id
        query = select(Series.name, Series.id).where(Series.run_id == run_id, Series.name.in_(new))
        known = {row.name: row.id for row in connection.execute(query)}
        if missing := [{"run_id": run_id, "name": name} for name in new if name not in known]:
            connection.execute(insert(Series), missing)
            known = {row.name: row.id for row in connection.execute(query)}
        self._series |= known

    def _write_init_scores(self, connection: Connection, scores: InitScores) -> None:
        columns = {
            "run_id": [self._claim.run_id] * len(scores.slots),
            "prompt_id": self._ids[scores.slots].tolist(),
            "responses": scores.responses.tolist(),
            "reward_sum": scores.reward_sum.tolist(),
        }
        bulk.upsert_columns(connection, table_of(InitScore), columns)

    def _write_evaluation(self, connection: Connection, record: EvaluationRecord) -> None:
        evaluation = evaluations.begin(connection, record.evaluation, self._claim.run_id, self._claim.attempt)
        evaluations.add_samples(connection, evaluation, record.samples, record.time, self._budget)


def _summary(record: StepRecord) -> dict[str, Any]:
    details, rewards = dict(record.summary), record.observations.reward
    return {
        "time": record.time,
        "clock": record.clock,
        "observations": rewards.size,
        "reward_mean": float(rewards.mean()) if rewards.size else None,
        "value_histogram": details.pop("value_histogram", []),
        "details": without_secrets(details),
    }


def _texts(batch: Observations) -> Iterable[tuple[int, bytes]]:
    count = len(batch)
    columns = [column or [None] * count for column in (batch.prompt_text, batch.response_text, batch.parts)]
    for place, (prompt, response, parts) in enumerate(zip(*columns, strict=True)):
        if prompt is not None or response is not None:
            yield place, pack_rollout(prompt, response, parts or ())


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value
