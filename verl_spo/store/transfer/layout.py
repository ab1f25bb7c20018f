"""Which files a run consists of, which columns they have, and how these are read from the tables."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select, union

from verl_spo.store.schema import (
    Evaluation,
    InitScore,
    Metric,
    Observation,
    Prompt,
    Rollout,
    Series,
    StepSummary,
    TrackerState,
    table_of,
)
from verl_spo.store.transfer.formats import Columns

Query = Select[*tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Part:
    """One file of an export.

    Attributes:
        name: Of the file, without its suffix.
        columns: Of the file, in order; `prompt_id` there is that of the `prompts` file.
        query: Reads a run's rows, with the columns in that order.
    """

    name: str
    columns: Columns
    query: Callable[[int], Query]


_STEP: Columns = {"step": "int", "attempt": "int"}


def _of_run(model: Any, columns: Columns) -> Callable[[int], Query]:
    """A run's rows in the order of their primary key."""
    table = table_of(model)

    def query(run_id: int) -> Query:
        chosen = [table.c[name] for name in columns]
        return select(*chosen).where(table.c.run_id == run_id).order_by(*table.primary_key)

    return query


def _prompts(run_id: int) -> Query:
    """All that the other files name: an attempt on other data leaves rows of prompts that are in the pool no more."""
    columns = (Prompt.id, Prompt.digest, Prompt.data_source, Prompt.messages, Prompt.ground_truth)
    named = (select(model.prompt_id).where(model.run_id == run_id) for model in (TrackerState, InitScore, Observation))
    return select(*columns).where(Prompt.id.in_(union(*named))).order_by(Prompt.id)


def _metrics(run_id: int) -> Query:
    columns = (Series.name, Metric.step, Metric.attempt, Metric.value)
    order = (Series.name, Metric.step, Metric.attempt)
    return select(*columns).join(Metric, Metric.series_id == Series.id).where(Series.run_id == run_id).order_by(*order)


def _rollouts(run_id: int) -> Query:
    return _of_run(Rollout, {**_STEP, "seq": "int", "content": "text"})(run_id)


_TRACKER: Columns = {
    "prompt_id": "int",
    "alpha": "float",
    "beta": "float",
    "z": "float",
    "visits": "int",
    "last_step": "int",
}
_OBSERVATIONS: Columns = {
    **_STEP,
    "seq": "int",
    "prompt_id": "int",
    "policy_version": "int",
    "reward": "float",
    "baseline": "float",
    "advantage": "float",
    "rho": "float",
    "drift": "float",
    "alpha": "float",
    "beta": "float",
    "response_length": "int",
    "session": "text",
}
_SUMMARIES: Columns = {
    **_STEP,
    "time": "float",
    "clock": "float",
    "observations": "int",
    "reward_mean": "float",
    "value_histogram": "json",
    "details": "json",
}
_EVALUATIONS: Columns = {
    **_STEP,
    "benchmark": "text",
    "metric": "text",
    "value": "float",
    "low": "float",
    "high": "float",
    "samples": "int",
    "time": "float",
    "details": "json",
}
_INIT_SCORES: Columns = {"prompt_id": "int", "responses": "int", "reward_sum": "float"}

PROMPTS = Part(
    "prompts",
    {"prompt_id": "int", "digest": "digest", "data_source": "text", "messages": "json", "ground_truth": "text"},
    _prompts,
)
TRACKER = Part("tracker", _TRACKER, _of_run(TrackerState, _TRACKER))
OBSERVATIONS = Part("observations", _OBSERVATIONS, _of_run(Observation, _OBSERVATIONS))
ROLLOUTS = Part("rollouts", {**_STEP, "seq": "int", "prompt": "optional text", "response": "optional text"}, _rollouts)
METRICS = Part("metrics", {"name": "text", **_STEP, "value": "float"}, _metrics)
SUMMARIES = Part("step_summaries", _SUMMARIES, _of_run(StepSummary, _SUMMARIES))
EVALUATIONS = Part("evaluations", _EVALUATIONS, _of_run(Evaluation, _EVALUATIONS))
INIT_SCORES = Part("init_scores", _INIT_SCORES, _of_run(InitScore, _INIT_SCORES))

PARTS = (PROMPTS, TRACKER, INIT_SCORES, OBSERVATIONS, ROLLOUTS, METRICS, SUMMARIES, EVALUATIONS)
"""All files but the manifest, prompts first: the others refer to them."""
