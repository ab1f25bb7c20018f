"""Which files a run consists of, which columns they have, and how these are read from the tables."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Select, select, union

from verl_spo.store.schema import (
    Base,
    Evaluation,
    EvaluationProblem,
    InitScore,
    Metric,
    Observation,
    Prompt,
    Rollout,
    Sample,
    SampleText,
    Series,
    StepSummary,
    TrackerState,
    Verdict,
    table_of,
)
from verl_spo.store.transfer.formats import Columns, Kind

Query = Select[*tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Part:
    """One file of an export.

    Attributes:
        name: Of the file, without its suffix.
        columns: Of the file, in order; `prompt_id` there is that of the `prompts` file.
        query: Reads a run's rows, with the columns in that order.
        since_5: Columns that exports have from version 5 on.
    """

    name: str
    columns: Columns
    query: Callable[[int], Query]
    since_5: Collection[str] = ()

    def columns_in(self, version: int) -> Columns:
        """The columns that the file has in an export of a version."""
        return {name: kind for name, kind in self.columns.items() if version >= 5 or name not in self.since_5}


_STEP: Columns = {"step": "int", "attempt": "int"}
_KINDS: dict[type, Kind] = {int: "int", float: "float", str: "text", bytes: "digest", object: "json"}
_OPTIONAL: dict[Kind, Kind] = {"int": "optional int", "text": "optional text"}


def _kind(column: Column[Any]) -> Kind:
    kind = _KINDS[column.type.python_type]
    return _OPTIONAL.get(kind, kind) if column.nullable else kind


def _of_run(name: str, model: type[Base], since_5: Collection[str] = ()) -> Part:
    """A run's rows of a table in the order of its primary key."""
    table = table_of(model)
    chosen = [column for column in table.columns if column.name != "run_id"]

    def query(run_id: int) -> Query:
        return select(*chosen).where(table.c.run_id == run_id).order_by(*table.primary_key)

    return Part(name, {column.name: _kind(column) for column in chosen}, query, since_5)


def _prompts(run_id: int) -> Query:
    """All that the other files name: an attempt on other data leaves rows of prompts that are in the pool no more."""
    columns = (Prompt.id, Prompt.digest, Prompt.data_source, Prompt.messages, Prompt.ground_truth)
    named = [select(model.prompt_id).where(model.run_id == run_id) for model in (TrackerState, InitScore, Observation)]
    evaluated = select(EvaluationProblem.prompt_id).join(Evaluation).where(Evaluation.run_id == run_id)
    return select(*columns).where(Prompt.id.in_(union(*named, evaluated))).order_by(Prompt.id)


def _metrics(run_id: int) -> Query:
    columns = (Series.name, Metric.step, Metric.attempt, Metric.value)
    order = (Series.name, Metric.step, Metric.attempt)
    return select(*columns).join(Metric, Metric.series_id == Series.id).where(Series.run_id == run_id).order_by(*order)


def _rollouts(run_id: int) -> Query:
    columns = (Rollout.step, Rollout.attempt, Rollout.seq, Rollout.content)
    return select(*columns).where(Rollout.run_id == run_id).order_by(*table_of(Rollout).primary_key)


def _of_evaluations(name: str, model: type[Base]) -> Part:
    """The rows of a table that belong to a run's evaluations, which `evaluation_id` names by their `id`."""
    table = table_of(model)
    columns: Columns = {column.name: _kind(column) for column in table.columns}

    def query(run_id: int) -> Query:
        of_run = Evaluation.run_id == run_id
        return select(*table.columns).join(Evaluation).where(of_run).order_by(*table.primary_key)

    return Part(name, columns, query)


def _sample_texts(run_id: int) -> Query:
    columns = (SampleText.evaluation_id, SampleText.place, SampleText.sample, SampleText.content)
    of_run = Evaluation.run_id == run_id
    return select(*columns).join(Evaluation).where(of_run).order_by(*table_of(SampleText).primary_key)


PROMPTS = Part(
    "prompts",
    {"prompt_id": "int", "digest": "digest", "data_source": "text", "messages": "json", "ground_truth": "text"},
    _prompts,
)
TRACKER = _of_run("tracker", TrackerState)
OBSERVATIONS = _of_run("observations", Observation, since_5=("finish", "seconds", "turns"))
ROLLOUTS = Part(
    "rollouts",
    {**_STEP, "seq": "int", "prompt": "optional text", "response": "optional text", "parts": "json"},
    _rollouts,
    since_5=("parts",),
)
METRICS = Part("metrics", {"name": "text", **_STEP, "value": "float"}, _metrics)
SUMMARIES = _of_run("step_summaries", StepSummary)
EVALUATIONS = _of_run("evaluations", Evaluation)
EVALUATION_PROBLEMS = _of_evaluations("evaluation_problems", EvaluationProblem)
SAMPLES = _of_evaluations("samples", Sample)
SAMPLE_TEXTS = Part(
    "sample_texts",
    {"evaluation_id": "int", "place": "int", "sample": "int", "prompt": "optional text", "response": "optional text"},
    _sample_texts,
)
VERDICTS = _of_evaluations("verdicts", Verdict)
INIT_SCORES = _of_run("init_scores", InitScore)

PARTS = (
    *(PROMPTS, TRACKER, INIT_SCORES, OBSERVATIONS, ROLLOUTS, METRICS, SUMMARIES),
    *(EVALUATIONS, EVALUATION_PROBLEMS, SAMPLES, SAMPLE_TEXTS, VERDICTS),
)
"""All files but the manifest; those come first that others refer to."""
PACKED = (ROLLOUTS, SAMPLE_TEXTS)
"""The last column of their rows is compressed text, which becomes all columns of the file from `prompt` on."""
