"""Everything that pages and commands ask the store. All of it takes a `Reader`, reads by key, and scans nothing."""

from verl_spo.store.queries.evaluations import (
    EvaluationRow,
    ProblemRow,
    SampleRow,
    Scores,
    VerdictRow,
    evaluation_problems,
    evaluation_samples,
    evaluation_scorers,
    evaluation_scores,
    evaluations,
)
from verl_spo.store.queries.history import ObservationRow, RolloutRow, prompt_history, prompt_rollouts, recent_rollouts
from verl_spo.store.queries.metrics import Cursor, MetricPage, MetricSeries, metric_names, metric_series
from verl_spo.store.queries.overview import SketchPoint, best_values, sketches, total_steps
from verl_spo.store.queries.prompt_plan import SORTS, PromptFilter
from verl_spo.store.queries.prompts import PromptPage, PromptRow, count_prompts, data_sources, prompt, prompts
from verl_spo.store.queries.runs import AttemptRow, RunDetail, RunRow, find_run, run, runs
from verl_spo.store.queries.sizes import DatabaseSize, TableEstimate, database_size
from verl_spo.store.queries.summaries import Progress, SummaryRow, progress, rewards_at, step_summaries
from verl_spo.store.queries.trackers import init_scores, tracker

__all__ = [
    "SORTS",
    "AttemptRow",
    "Cursor",
    "DatabaseSize",
    "EvaluationRow",
    "MetricPage",
    "MetricSeries",
    "ObservationRow",
    "ProblemRow",
    "Progress",
    "PromptFilter",
    "PromptPage",
    "PromptRow",
    "RolloutRow",
    "RunDetail",
    "RunRow",
    "SampleRow",
    "Scores",
    "SketchPoint",
    "SummaryRow",
    "TableEstimate",
    "VerdictRow",
    "best_values",
    "count_prompts",
    "data_sources",
    "database_size",
    "evaluation_problems",
    "evaluation_samples",
    "evaluation_scorers",
    "evaluation_scores",
    "evaluations",
    "find_run",
    "init_scores",
    "metric_names",
    "metric_series",
    "progress",
    "prompt",
    "prompt_history",
    "prompt_rollouts",
    "prompts",
    "recent_rollouts",
    "rewards_at",
    "run",
    "runs",
    "sketches",
    "step_summaries",
    "total_steps",
    "tracker",
]
