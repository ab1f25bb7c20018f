"""A large run for the pages to show: a pool, its history, and curves of many steps."""

from typing import Any

import numpy as np
from sqlalchemy import insert

from benchmarks.store import size
from benchmarks.store.workload import METRICS
from verl_spo.store import bulk
from verl_spo.store.database.connections import open_engine
from verl_spo.store.schema import Metric, Rollout, Series, StepSummary, table_of
from verl_spo.store.text import pack_rollout
from verl_spo_dashboard import panels

RUN = size.NAME
BINS = 20
TEXTS_PER_STEP = 32


def fill(url: str, pool: int, observations: int, steps: int) -> None:
    """Make the run, of so many steps."""
    size.fill(url, pool, observations, batch=observations // steps)
    engine = open_engine(url)
    rng = np.random.default_rng(0)
    names = [*panels.metrics(), "val-core/math/acc/mean@1", *(f"spo/metric_{number}" for number in range(METRICS))]
    with engine.begin() as connection:
        connection.execute(
            insert(StepSummary), [_summary(step, pool, observations // steps, rng) for step in range(steps + 1)]
        )
        connection.execute(insert(Series), [{"run_id": 1, "name": name} for name in names])
        for number in range(1, len(names) + 1):
            bulk.insert_columns(connection, table_of(Metric), _metric(number, steps, rng))
        connection.execute(
            insert(Rollout), [_rollout(step, seq) for step in range(1, steps + 1) for seq in range(TEXTS_PER_STEP)]
        )
    engine.dispose()


def _summary(step: int, pool: int, observations: int, rng: np.random.Generator) -> dict[str, Any]:
    histogram = rng.multinomial(pool, rng.dirichlet(np.ones(BINS)))
    return {
        "run_id": 1,
        "step": step,
        "attempt": 1,
        "time": 1.7e9 + 60.0 * step,
        "clock": 0.0,
        "observations": observations,
        "reward_mean": float(rng.random()),
        "value_histogram": histogram.tolist(),
        "details": {},
    }


def _metric(series: int, steps: int, rng: np.random.Generator) -> dict[str, Any]:
    at = np.arange(1, steps + 1)
    return {"series_id": np.full(steps, series), "step": at, "attempt": np.ones_like(at), "value": rng.random(steps)}


def _rollout(step: int, seq: int) -> dict[str, Any]:
    content = pack_rollout(f"<|user|>Find the prime of the number {seq}.<|assistant|>", f"Let me think. {step} " * 200)
    return {"run_id": 1, "step": step, "attempt": 1, "seq": seq, "size": len(content), "content": content}
