"""Everything that pages and commands ask the store. All of it takes a `Reader`, reads by key, and scans nothing.

What is about a whole pool reads its tracker once for each reader, and then what is new (`pool.py`).
"""

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
from verl_spo.store.queries.history import ObservationRow, prompt_history
from verl_spo.store.queries.metrics import Cursor, MetricPage, MetricSeries, metric_names, metric_series
from verl_spo.store.queries.one_prompt import PromptInRun, prompt_in_runs, prompt_neighbours
from verl_spo.store.queries.outcomes import Calibration, Draws, Outcomes, calibration, draws, outcomes
from verl_spo.store.queries.overview import SketchPoint, best_scores, best_values, options, sketches, total_steps
from verl_spo.store.queries.pool import SORTS
from verl_spo.store.queries.pool_histogram import PoolColumn, pool_histogram
from verl_spo.store.queries.prompt_filters import PromptFilter
from verl_spo.store.queries.prompts import PromptPage, PromptRow, count_prompts, data_sources, prompt, prompts
from verl_spo.store.queries.rollouts import (
    RewardHistogram,
    RolloutFilter,
    RolloutKey,
    RolloutPage,
    RolloutRow,
    prompt_rollouts,
    reward_histogram,
    rollout,
    rollouts,
)
from verl_spo.store.queries.runs import AttemptRow, RunDetail, RunRow, find_run, run, runs
from verl_spo.store.queries.selection import SelectedPrompt, selected_prompts
from verl_spo.store.queries.sessions import session_seconds
from verl_spo.store.queries.sizes import DatabaseSize, TableEstimate, database_size
from verl_spo.store.queries.sparklines import Sparkline, sparklines
from verl_spo.store.queries.summaries import Progress, SummaryRow, progress, rewards_at, step_summaries
from verl_spo.store.queries.trackers import init_scores, tracker
from verl_spo.store.queries.visits import Movement

__all__ = [
    "SORTS",
    "AttemptRow",
    "Calibration",
    "Cursor",
    "DatabaseSize",
    "Draws",
    "EvaluationRow",
    "MetricPage",
    "MetricSeries",
    "Movement",
    "ObservationRow",
    "Outcomes",
    "PoolColumn",
    "ProblemRow",
    "Progress",
    "PromptFilter",
    "PromptInRun",
    "PromptPage",
    "PromptRow",
    "RewardHistogram",
    "RolloutFilter",
    "RolloutKey",
    "RolloutPage",
    "RolloutRow",
    "RunDetail",
    "RunRow",
    "SampleRow",
    "Scores",
    "SelectedPrompt",
    "SketchPoint",
    "Sparkline",
    "SummaryRow",
    "TableEstimate",
    "VerdictRow",
    "best_scores",
    "best_values",
    "calibration",
    "count_prompts",
    "data_sources",
    "database_size",
    "draws",
    "evaluation_problems",
    "evaluation_samples",
    "evaluation_scorers",
    "evaluation_scores",
    "evaluations",
    "find_run",
    "init_scores",
    "metric_names",
    "metric_series",
    "options",
    "outcomes",
    "pool_histogram",
    "progress",
    "prompt",
    "prompt_history",
    "prompt_in_runs",
    "prompt_neighbours",
    "prompt_rollouts",
    "prompts",
    "reward_histogram",
    "rewards_at",
    "rollout",
    "rollouts",
    "run",
    "runs",
    "selected_prompts",
    "session_seconds",
    "sketches",
    "sparklines",
    "step_summaries",
    "total_steps",
    "tracker",
]
