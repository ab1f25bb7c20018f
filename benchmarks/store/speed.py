"""Writing: what the trainer waits for, and what the store sustains."""

import time
from typing import Any

import numpy as np

from benchmarks.store import raw
from benchmarks.store.workload import Trainer, info, prompts, tracker
from verl_spo.config import StoreConfig
from verl_spo.store import open_writer
from verl_spo.store.records import TrackerRows
from verl_spo.store.runs.status import Status

BURST = 48
"""Steps that are handed over at full rate before all are waited for: fewer than the queue holds."""

WARM_UP = 8


def measure(url: str, pool: int, batch: int, steps: int) -> dict[str, Any]:
    """One size of step, on one database.

    `blocking_ms` is what the trainer's thread spends on a step: making its record and handing it over, while the
    writer's thread is at work. `observations_per_s` is sustained: until the last one is durable. `registering_s` is
    from prompts in memory until a run can be written: prompts with their search, and the tracker's rows.
    """
    rows, given_prompts = tracker(pool, np.random.default_rng(0)), list(prompts(pool))
    started = time.perf_counter()
    config = StoreConfig(url=url, durability_timeout_s=600)
    writer = open_writer(config, info(f"speed/{pool}-{batch}"), given_prompts, _fresh(rows), None)
    registered = time.perf_counter() - started
    del given_prompts
    trainer, blocked, busy = Trainer(pool, batch), [], 0.0
    for burst in range(-(-steps // BURST) + 1):
        count = WARM_UP if burst == 0 else min(BURST, steps - (burst - 1) * BURST)
        given = [trainer.arrays() for _ in range(count)]
        started = time.perf_counter()
        for arrays in given:
            begun = time.perf_counter()
            writer.submit(trainer.record(arrays))
            if burst:
                blocked.append(time.perf_counter() - begun)
        writer.flush()
        busy += (time.perf_counter() - started) if burst else 0.0
    writer.close(Status.FINISHED)
    sustained, yardstick = batch * steps / busy, raw.rate(url, pool, batch, steps)
    return {
        "database": "sqlite" if url.startswith("sqlite") else "postgres",
        "pool": pool,
        "batch": batch,
        "blocking_ms_p50": round(1e3 * float(np.percentile(blocked, 50)), 3),
        "blocking_ms_p95": round(1e3 * float(np.percentile(blocked, 95)), 3),
        "observations_per_s": round(sustained),
        "raw_per_s": round(yardstick),
        "of_raw": round(sustained / yardstick, 2),
        "registering_s": round(registered, 1),
    }


def _fresh(rows: TrackerRows) -> TrackerRows:
    size = len(rows.slots)
    ones, none = np.ones(size), np.zeros(size, dtype=np.int64)
    return TrackerRows(rows.slots, ones, ones, np.zeros(size), none, none)
