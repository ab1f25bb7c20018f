"""Files into a run."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, insert, select, update

from verl_spo.errors import StoreError
from verl_spo.store import bulk, prompts, tracker
from verl_spo.store.database.urls import without_secrets
from verl_spo.store.records import PromptRecord, TrackerRows
from verl_spo.store.runs import claims, manage, owners
from verl_spo.store.runs.claims import Claim
from verl_spo.store.runs.status import HELD, Status
from verl_spo.store.schema import (
    Attempt,
    Evaluation,
    EvaluationProblem,
    InitScore,
    Metric,
    Observation,
    Rollout,
    Run,
    Sample,
    SampleText,
    Series,
    StepSummary,
    TrackerState,
    Verdict,
    table_of,
)
from verl_spo.store.text import Part as TextPart
from verl_spo.store.text import clean, pack_rollout
from verl_spo.store.transfer import formats, layout, manifest
from verl_spo.store.transfer.layout import Part

Rows = list[dict[str, Any]]


def import_run(engine: Engine, folder: Path, name: str | None = None) -> str:
    """Make a run from an export.

    Args:
        engine: The database.
        folder: What `export_run` wrote.
        name: Of the run; the one it had if None.

    Returns:
        Its name.

    Raises:
        StoreError: The folder is no export or not whole, or there is a run of that name.
    """
    document = manifest.read(folder)
    name = clean(name or document["run"]["name"])
    claim = _create(engine, name, document)
    try:
        _Loader(engine, folder, document, claim).load()
    except BaseException:
        # Half a run is worse than none.
        manage.delete_claimed(engine, claim)
        raise
    owners.release(claim.owner)
    return name


def _create(engine: Engine, name: str, document: dict[str, Any]) -> Claim:
    run, owner = document["run"], owners.new_owner()
    with engine.begin() as connection:
        if claims.lock(connection, name) is not None:
            raise StoreError(f"run {name!r}: there is one of this name; import it under another (--as)")
        values = {
            **run,
            "name": name,
            "status": Status.IMPORTING,
            "pool_digest": bytes.fromhex(run["pool_digest"]),
            "owner": owner,
            "heartbeat_at": time.time(),
            "applied": 0,
            "rollout_bytes": 0,
        }
        run_id = int(connection.execute(insert(Run).values(values).returning(Run.id)).scalar_one())
        if attempts := [{**row, "run_id": run_id} for row in without_secrets(document["attempts"])]:
            connection.execute(insert(Attempt), attempts)
    return Claim(run_id, run["attempt"], owner)


class _Loader:
    """Fills a run from files, thousands of rows a transaction."""

    def __init__(self, engine: Engine, folder: Path, document: Mapping[str, Any], claim: Claim) -> None:
        self._engine = engine
        self._folder = folder
        self._suffix = document["format"]
        self._version = document["version"]
        self._run = document["run"]
        self._files = document["files"]
        self._claim = claim
        self._run_id = claim.run_id
        self._prompts: dict[int, int] = {}
        self._series: dict[str, int] = {}
        self._evaluations: dict[int, int] = {}
        self._text_bytes = 0

    def load(self) -> None:
        for rows in self._read(layout.PROMPTS):
            records = [
                PromptRecord(row["digest"], row["data_source"], row["messages"], row["ground_truth"]) for row in rows
            ]
            ids = prompts.register(self._engine, records).tolist()
            with self._held():
                pass
            self._prompts.update(zip((row["prompt_id"] for row in rows), ids, strict=True))
        loads: dict[Part, Callable[[Connection, Rows], None]] = {
            layout.TRACKER: self._load_tracker,
            layout.INIT_SCORES: self._load_init_scores,
            layout.OBSERVATIONS: self._load_observations,
            layout.ROLLOUTS: self._load_rollouts,
            layout.METRICS: self._load_metrics,
            layout.SUMMARIES: self._load_summaries,
            layout.EVALUATIONS: self._load_evaluations,
            layout.EVALUATION_PROBLEMS: partial(self._load_of_evaluations, EvaluationProblem),
            layout.SAMPLES: partial(self._load_of_evaluations, Sample),
            layout.SAMPLE_TEXTS: self._load_sample_texts,
            layout.VERDICTS: partial(self._load_of_evaluations, Verdict),
        }
        for part, load in loads.items():
            for rows in self._read(part):
                with self._held() as connection:
                    load(connection, rows)
        self._finish()

    @contextmanager
    def _held(self) -> Iterator[Connection]:
        """A transaction that gives a sign of life, of a run that is still this process's."""
        with self._engine.begin() as connection:
            claims.beat(connection, self._claim)
            yield connection

    def _finish(self) -> None:
        # Nobody writes this copy of a run that was exported while it ran.
        status = Status.STOPPED if self._run["status"] in (*HELD, Status.STARTING) else self._run["status"]
        values = {"status": status, "heartbeat_at": self._run["heartbeat_at"], "rollout_bytes": self._text_bytes}
        with self._held() as connection:
            connection.execute(update(Run).where(Run.id == self._run_id).values(values))

    def _read(self, part: Part) -> Iterator[Rows]:
        path, found, wanted = self._folder / f"{part.name}.{self._suffix}", 0, self._files[part.name]["rows"]
        for rows in formats.reading(path, part.columns_in(self._version)):
            found += len(rows)
            if rows:
                yield rows
        if found != wanted:
            raise StoreError(f"{path}: has {found} rows, but was exported with {wanted}; export the run again")

    def _load_tracker(self, connection: Connection, rows: Rows) -> None:
        ids = np.array([self._prompts[row["prompt_id"]] for row in rows], dtype=np.int64)
        state = {name: np.array([row[name] for row in rows]) for name in ("alpha", "beta", "z", "visits", "last_step")}
        columns = tracker.columns(ids, TrackerRows(slots=np.arange(len(rows)), **state))
        run = np.full(len(rows), self._run_id)
        bulk.insert_columns(connection, table_of(TrackerState), {"run_id": run, **columns})

    def _load_init_scores(self, connection: Connection, rows: Rows) -> None:
        self._insert(connection, InitScore, [self._own(row) for row in rows])

    def _load_observations(self, connection: Connection, rows: Rows) -> None:
        self._insert(connection, Observation, [self._own(row) for row in rows])

    def _load_rollouts(self, connection: Connection, rows: Rows) -> None:
        packed = [(row, _packed(row)) for row in rows]
        self._text_bytes += sum(len(content) for _, content in packed)
        self._insert(
            connection,
            Rollout,
            [{**self._own(row), "content": content, "size": len(content)} for row, content in packed],
        )

    def _load_metrics(self, connection: Connection, rows: Rows) -> None:
        names = sorted({row["name"] for row in rows} - self._series.keys())
        if names:
            connection.execute(insert(Series), [{"run_id": self._run_id, "name": name} for name in names])
            found = select(Series.name, Series.id).where(Series.run_id == self._run_id)
            self._series = {row.name: row.id for row in connection.execute(found)}
        self._insert(connection, Metric, [{"series_id": self._series[row.pop("name")], **row} for row in rows])

    def _load_summaries(self, connection: Connection, rows: Rows) -> None:
        connection.execute(insert(StepSummary), [self._own(row) for row in rows])

    def _load_evaluations(self, connection: Connection, rows: Rows) -> None:
        for row in rows:
            former = row.pop("id")
            new = insert(Evaluation).values(self._own(row)).returning(Evaluation.id)
            self._evaluations[former] = int(connection.execute(new).scalar_one())

    def _load_sample_texts(self, connection: Connection, rows: Rows) -> None:
        packed = [(row, _packed(row)) for row in rows]
        texts = [{**row, "content": content} for row, content in packed]
        self._load_of_evaluations(SampleText, connection, texts)

    def _load_of_evaluations(self, model: Any, connection: Connection, rows: Rows) -> None:
        own = [{**row, "evaluation_id": self._evaluations[row["evaluation_id"]]} for row in rows]
        if model is EvaluationProblem:
            own = [{**row, "prompt_id": self._prompts[row["prompt_id"]]} for row in own]
        self._insert(connection, model, own)

    def _own(self, row: dict[str, Any]) -> dict[str, Any]:
        own = {"prompt_id": self._prompts[row["prompt_id"]]} if "prompt_id" in row else {}
        return {**row, **own, "run_id": self._run_id}

    def _insert(self, connection: Connection, model: Any, rows: Rows) -> None:
        names = list(rows[0])
        bulk.insert_rows(connection, table_of(model), names, [tuple(row[name] for name in names) for row in rows])


def _packed(row: dict[str, Any]) -> bytes:
    """A row's texts, taken out of it."""
    parts = [TextPart(*part) for part in row.pop("parts", None) or ()]
    return pack_rollout(row.pop("prompt"), row.pop("response"), parts)
