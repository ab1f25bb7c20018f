"""Reading a large database: a million prompts, ten million observations."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sqlalchemy import Engine, text, update

from benchmarks.store.workload import METRICS, Trainer, info, prompts, tracker
from verl_spo.config import StoreConfig
from verl_spo.store import Reader, bulk, open_reader, open_writer, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.queries import SORTS, PromptFilter
from verl_spo.store.runs import upkeep
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Observation, Run, table_of

NAME = "size/run"
FILL_BATCH = 100_000
REPEATS = 5

FILTERS = {
    "all": PromptFilter(),
    "value 0.4-0.6": PromptFilter(value=(0.4, 0.6)),
    "value 0.500-0.501": PromptFilter(value=(0.5, 0.501)),
    "n_eff >= 8": PromptFilter(n_eff=(8.0, None)),
    "visited": PromptFilter(visits=(1, None)),
    "never visited": PromptFilter(visits=(0, 0)),
    "visited in step 500": PromptFilter(last_step=(500, 500)),
    "source": PromptFilter(source="logic"),
    "word in all": PromptFilter(words="reason"),
    "word in a tenth": PromptFilter(words="triangle"),
    "word in one": PromptFilter(words="123456"),
    "phrase": PromptFilter(words='"prime of the"'),
    "beginning of a word": PromptFilter(words="probab*"),
    "everything": PromptFilter(words="circle", source="math", value=(0.2, 0.8), visits=(1, None)),
}


def measure(url: str, pool: int, observations: int) -> dict[str, Any]:
    """Fill a database and time what pages ask of it, in milliseconds: the best of some repeats, and the worst query."""
    started = time.perf_counter()
    fill(url, pool, observations)
    filled = time.perf_counter() - started
    with open_reader(url) as reader:
        first = _page(reader, "value", False, PromptFilter(), repeats=1)
        firsts = {name: _page(reader, "value", False, where, repeats=1) for name, where in FILTERS.items()}
        slowest = max(firsts, key=lambda name: firsts[name])
        pages = {
            f"{sort} {'down' if descending else 'up'}, {name}": _page(reader, sort, descending, where)
            for sort in SORTS
            for descending in (False, True)
            for name, where in FILTERS.items()
        }
        worst = max(pages, key=lambda name: pages[name])
        return {
            "database": "postgres" if reader.dialect == "postgresql" else "sqlite",
            "pool": pool,
            "observations": observations,
            "filling_s": round(filled, 1),
            "bytes": upkeep.stats(reader).size,
            "tracker_s": round(1e-3 * _timed(lambda: queries.tracker(reader, 1), 1), 2),
            "pool_s": round(1e-3 * first, 2),
            "following_ms": round(_following(url, reader, pool, observations // FILL_BATCH), 1),
            "filter_first_ms_worst": round(firsts[slowest], 1),
            "filter_first_worst": slowest,
            "page_ms_median": round(float(np.median(list(pages.values()))), 1),
            "page_ms_worst": round(pages[worst], 1),
            "page_worst": worst,
            "history_ms": round(_timed(lambda: queries.prompt_history(reader, 1, pool // 2)), 1),
            "runs_ms": round(_timed(lambda: queries.runs(reader)), 1),
            **_tick(url, reader),
        }


def fill(url: str, pool: int, observations: int, batch: int = FILL_BATCH) -> None:
    """Make a run with a history of steps of so many observations, not written step by step but in bulk."""
    rows = tracker(pool, np.random.default_rng(1))
    config = StoreConfig(url=url, durability_timeout_s=600)
    open_writer(config, info(NAME), prompts(pool), rows, None).close(Status.FINISHED)
    engine = open_engine(url)
    steps = observations // batch
    for step in range(1, steps + 1):
        _insert(engine, pool, step, batch)
    with engine.begin() as connection:
        connection.execute(update(Run).values(last_step=steps))
        if engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE observations"))


def _insert(engine: Engine, pool: int, step: int, batch: int) -> None:
    made = Trainer(pool, batch, seed=step).arrays().observations
    columns = {name: np.full(batch, value) for name, value in (("run_id", 1), ("step", step), ("attempt", 1))}
    columns |= {"seq": np.arange(batch), "prompt_id": made.pop("slot") + 1}
    with engine.begin() as connection:
        bulk.insert_columns(connection, table_of(Observation), {**columns, **made})


def _page(reader: Reader, sort: Any, descending: bool, where: PromptFilter, repeats: int = REPEATS) -> float:
    return _timed(lambda: queries.prompts(reader, 1, sort, descending, where), repeats)


def _following(url: str, reader: Reader, pool: int, steps: int) -> float:
    """A page right after a step of 1,024 observations, while the run trains: the median of some steps."""
    rows = tracker(pool, np.random.default_rng(1))
    config = StoreConfig(url=url, durability_timeout_s=600)
    writer = open_writer(config, info(NAME), prompts(pool), rows, resume_step=steps)
    trainer, times = Trainer(pool, 1024, after=steps), []
    for _ in range(1 + REPEATS):
        writer.submit(trainer.record(trainer.arrays()))
        writer.flush()
        times.append(_page(reader, "value", False, PromptFilter(), repeats=1))
    writer.close(Status.FINISHED)
    # The first one has a new attempt to read.
    return float(np.median(times[1:]))


def _tick(url: str, reader: Reader) -> dict[str, Any]:
    """What a live page reads when a step has come: in a run of its own, beside the large one."""
    trainer = Trainer(100, 64)
    config = StoreConfig(url=url)
    writer = open_writer(config, info("size/tick"), prompts(100), tracker(100, np.random.default_rng(2)), None)
    for _ in range(200):
        writer.submit(trainer.record(trainer.arrays()))
    writer.flush()
    run_id = queries.run(reader, "size/tick").run.id
    names = queries.metric_names(reader, [run_id])
    cursor = queries.metric_series(reader, [run_id], names).cursor
    writer.submit(trainer.record(trainer.arrays()))
    writer.close(Status.FINISHED)
    page = queries.metric_series(reader, [run_id], names, cursor)
    return {
        "tick_series": METRICS,
        "tick_bytes": sum(series.steps.nbytes + series.values.nbytes for series in page.series),
        "tick_ms": round(_timed(lambda: queries.metric_series(reader, [run_id], names, cursor)), 1),
    }


def _timed(query: Callable[[], object], repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        query()
        times.append(time.perf_counter() - started)
    return 1e3 * min(times)
