"""Every query of `store.queries` reads along an index: no statement scans a table that grows."""

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from tests.support.stores import Training, evaluated, start, writing
from verl_spo.store import Reader, open_reader, queries, tracker
from verl_spo.store.queries import Cursor, Movement, PromptFilter, RolloutFilter
from verl_spo.store.records import InitScores
from verl_spo.store.runs.status import Status

FILTERS = [
    PromptFilter(),
    PromptFilter(value=(0.2, 0.8)),
    PromptFilter(n_eff=(1.0, None)),
    PromptFilter(visits=(1, None)),
    PromptFilter(last_step=(None, 3)),
    PromptFilter(source="algebra"),
    PromptFilter(words="what is"),
    PromptFilter(words="wh*"),
    PromptFilter(value=(0.2, 0.8), visits=(1, None), words="what", source="algebra"),
    PromptFilter(last_outcome=(1.0, None)),
    PromptFilter(moved=Movement(2, 0.1, None)),
]

QUERIES = {
    "runs": lambda reader: queries.runs(reader, search="demo"),
    "run": lambda reader: queries.run(reader, "demo/spo"),
    "find_run": lambda reader: queries.find_run(reader, "demo/spo"),
    "metric_names": lambda reader: queries.metric_names(reader, [1, 2]),
    "metric_series": lambda reader: queries.metric_series(reader, [1], ["spo/reward", "spo/p_hats"]),
    "metric_series_tick": lambda reader: queries.metric_series(
        reader, [1], ["spo/reward"], Cursor({1: 1}, {(1, "spo/reward"): 2})
    ),
    "prompt": lambda reader: queries.prompt(reader, 1, 1),
    "data_sources": lambda reader: queries.data_sources(reader, 1),
    "prompt_history": lambda reader: queries.prompt_history(reader, 1, 1, before_step=5),
    "prompt_rollouts": lambda reader: queries.prompt_rollouts(reader, 1, 1),
    "prompt_in_runs": lambda reader: queries.prompt_in_runs(reader, 1),
    "prompt_neighbours": lambda reader: queries.prompt_neighbours(reader, 1, 1, "visits", True, FILTERS[-1]),
    "rollouts": lambda reader: queries.rollouts(reader, 1, after=(5, 1, 3)),
    "rollouts where": lambda reader: queries.rollouts(
        reader, 1, RolloutFilter((2, 4), (0.5, None), (1, None), "stop", "arithmetic", "answer")
    ),
    "rollout": lambda reader: queries.rollout(reader, 1, 1, 1, 1),
    "reward_histogram": lambda reader: queries.reward_histogram(reader, 1, (2, 5)),
    "step_summaries": lambda reader: queries.step_summaries(reader, 1, after_step=1),
    "progress": lambda reader: queries.progress(reader, 1, after_step=1),
    "rewards_at": lambda reader: queries.rewards_at(reader, 1, [1, 3]),
    "sketches": lambda reader: queries.sketches(reader, {1: [1, 3], 2: [5]}),
    "best_scores": lambda reader: queries.best_scores(reader, [1, 2], ["math_verify", "reward"]),
    "options": lambda reader: queries.options(reader, [1, 2], "trainer.v1.trainer_mode"),
    "total_steps": lambda reader: queries.total_steps(reader, [1, 2]),
    "best_values": lambda reader: queries.best_values(reader, [1, 2], "spo/"),
    "database_size": lambda reader: queries.database_size(reader),
    "pool_histogram of v_hat": lambda reader: queries.pool_histogram(reader, 1, "value", [0, 0.5, 1]),
    "pool_histogram of evidence": lambda reader: queries.pool_histogram(reader, 1, "n_eff", [0, 1, math.inf]),
    "pool_histogram of visits": lambda reader: queries.pool_histogram(reader, 1, "visits", [0, 1, math.inf]),
    "outcomes": lambda reader: queries.outcomes(reader, 1, 2, 5),
    "calibration": lambda reader: queries.calibration(reader, 1, 2, 5),
    "draws": lambda reader: queries.draws(reader, 1, 2, 5),
    "session_seconds": lambda reader: queries.session_seconds(reader, 1),
    "sparklines": lambda reader: queries.sparklines(reader, 1, [1, 2, 3]),
    **{
        f"selected_prompts where {number}": lambda reader, where=where: list(queries.selected_prompts(reader, 1, where))
        for number, where in enumerate(FILTERS)
    },
    "evaluations": lambda reader: queries.evaluations(reader, 1),
    "evaluations of no run": lambda reader: queries.evaluations(reader, None),
    "evaluation_problems": lambda reader: queries.evaluation_problems(reader, 1),
    "evaluation_scorers": lambda reader: queries.evaluation_scorers(reader, 1),
    "evaluation_scores": lambda reader: queries.evaluation_scores(reader, 1, "reward"),
    "evaluation_samples": lambda reader: queries.evaluation_samples(reader, 1),
    "evaluation_samples of a problem": lambda reader: queries.evaluation_samples(reader, 1, place=1),
    "tracker": lambda reader: queries.tracker(reader, 1),
    "init_scores": lambda reader: queries.init_scores(reader, 1),
    **{
        f"prompts where {number}": lambda reader, where=where: queries.prompts(reader, 1, "n_eff", True, where)
        for number, where in enumerate(FILTERS)
    },
    **{
        f"count_prompts where {number}": lambda reader, where=where: queries.count_prompts(reader, 1, where)
        for number, where in enumerate(FILTERS)
    },
}

# The list of runs is read whole, along its index; a whole tracker needs all digests, which their index has. Sums over
# all runs and all evaluations, which are few, need no order.
ALLOWED = re.compile(
    r"SCAN runs|SCAN evaluations"
    r"|SCAN runs USING INDEX ix_runs_created_at_id"
    r"|SCAN prompts USING COVERING INDEX sqlite_autoindex_prompts_1"
    r"|SCAN prompt_search VIRTUAL TABLE INDEX 0:=?M\d"
    r"|SCAN \(?(anon|sources|subquery|subqueries)[-_\d]*\)?"
    r"|SCAN sources"
    r"|SCAN CONSTANT ROW|SCAN \d+ CONSTANT ROW"
)

# All of a run's observations, in search of those of one prompt.
WHOLE_RUN = re.compile(r"SEARCH observations .*\(run_id=\?\)")


@pytest.fixture
def reader(database_url: str) -> Iterator[Reader]:
    """A run with everything that can be asked for."""
    training = Training()
    writer = start(database_url, training)
    writer.add_init_scores(InitScores([0], [8], [4.0]))
    for _ in range(6):
        writer.submit(training.advance(texts=True))
    writer.evaluate(evaluated(1))
    writer.close(Status.FINISHED)
    with open_reader(database_url) as opened:
        yield opened


def test_every_query_is_listed_here() -> None:
    functions = {name for name in queries.__all__ if callable(getattr(queries, name)) and name.islower()}
    assert functions - {name.split(" ")[0] for name in QUERIES} == set()


def test_no_query_scans_a_table(reader: Reader) -> None:
    scans = {name: found for name, query in QUERIES.items() if (found := _scans(reader, query))}
    assert scans == {}


def test_a_scan_would_be_seen(reader: Reader) -> None:
    def scanning(reader: Reader) -> None:
        with reader.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM tracker_state WHERE alpha + 0 > 3").all()

    assert _scans(reader, scanning)


def test_a_pool_is_followed_by_key(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training()
    with writing(database_url, training) as writer, open_reader(database_url) as reader:
        writer.submit(training.advance())
        writer.flush()
        queries.count_prompts(reader, 1, PromptFilter())
        writer.submit(training.advance())
        writer.flush()
        monkeypatch.setattr(tracker, "read_rows", None)
        assert _scans(reader, lambda reader: queries.count_prompts(reader, 1, PromptFilter())) == []


def _scans(reader: Reader, query: Any) -> list[str]:
    lines = [line for plan in _plans(reader, query) for line in plan]
    if reader.dialect == "sqlite":
        scans = [line for line in lines if line.startswith("SCAN") and not ALLOWED.fullmatch(line)]
        return scans + [line for line in lines if WHOLE_RUN.search(line)]
    # An index-only read of a condition that the index does not have would be a scan, too.
    return [line for line in lines if re.search(r"Seq Scan on (?!runs|attempts|series)", line)]


def _plans(reader: Reader, query: Any) -> list[list[str]]:
    """How the database would run each statement of a query."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    event.listen(reader._engine, "before_cursor_execute", note)
    query(reader)
    event.remove(reader._engine, "before_cursor_execute", note)
    with reader.connect() as connection:
        if reader.dialect == "postgresql":
            # Few rows are best read whole; what counts is that there is an index when there are many.
            connection.exec_driver_sql("SET enable_seqscan = off")
            connection.exec_driver_sql("SET enable_sort = off")
        return [
            _plan(connection, *statement) for statement in statements if statement[0].startswith(("SELECT", "WITH"))
        ]


def _plan(connection: Connection, statement: str, parameters: Any) -> list[str]:
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    return [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters)]
