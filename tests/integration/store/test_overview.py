"""What the list of runs and the page of the system ask, on both databases."""

import numpy as np
import pytest
from sqlalchemy import delete, text, update

from tests.support.benchmarked import SETTINGS, benchmark_prompts, benchmarked
from tests.support.stores import BATCH, POOL, Training, evaluated, info, start, trained
from verl_spo.config import StoreConfig
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.records import EvaluationInfo, Finish, Origin
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Sample, Verdict


def write(url: str, name: str, steps: int, total: object, metric: float, resume_step: int | None = None) -> Training:
    training = Training()
    for _ in range(resume_step or 0):
        training.advance()
    run = info(name, config={"trainer": {"total_training_steps": total}} if total != "absent" else {})
    writer = start(url, training, run, resume_step=resume_step)
    for _ in range(steps):
        writer.submit(training.advance())
        writer.log(training.step, {"val-core/a/reward/mean@1": metric / training.step, "other": 9.0})
    writer.close(Status.FINISHED)
    return training


def test_sketches_of_several_runs_have_the_steps_that_count(database_url: str) -> None:
    write(database_url, "a", 4, 100, 0.5)
    write(database_url, "b", 3, 100, 0.5)
    write(database_url, "a", 1, 100, 0.5, resume_step=2)
    with open_reader(database_url) as reader:
        found = queries.sketches(reader, {1: [2, 3, 4], 2: [1, 3, 99], 7: [1], 8: []})
        (row,) = queries.step_summaries(reader, 2, after_step=2)
    assert {run: [(point.step, point.attempt) for point in points] for run, points in found.items()} == {
        1: [(2, 1), (3, 2)],
        2: [(1, 1), (3, 1)],
        7: [],
        8: [],
    }
    assert (found[2][-1].time, found[2][-1].reward) == (row.time, row.reward_mean)


@pytest.mark.parametrize(("total", "known"), [(100, {1: 100}), (None, {}), ("absent", {}), ("100", {1: 100})])
def test_total_steps_are_the_configured_ones(database_url: str, total: object, known: dict[int, int]) -> None:
    write(database_url, "a", 1, total, 0.5)
    with open_reader(database_url) as reader:
        assert queries.total_steps(reader, [1, 2]) == known


def test_a_resume_may_have_another_total(database_url: str) -> None:
    write(database_url, "a", 3, 100, 0.5)
    write(database_url, "a", 1, 300, 0.5, resume_step=2)
    with open_reader(database_url) as reader:
        assert queries.total_steps(reader, [1]) == {1: 300}


def test_best_values_are_of_the_named_metrics_and_of_what_counts(database_url: str) -> None:
    write(database_url, "a", 4, 100, 0.5)
    write(database_url, "b", 3, 100, 0.9)
    with open_reader(database_url) as reader:
        assert queries.best_values(reader, [1, 2, 3], "val-core/") == {
            1: {"val-core/a/reward/mean@1": 0.5},
            2: {"val-core/a/reward/mean@1": 0.9},
        }
        assert queries.best_values(reader, [1], "val_core") == {}
    write(database_url, "b", 1, 100, 0.3)
    with open_reader(database_url) as reader:
        assert queries.best_values(reader, [2], "val-core/") == {2: {"val-core/a/reward/mean@1": 0.3}}


def test_the_size_is_about_what_was_written(database_url: str) -> None:
    trained(database_url, steps=6, texts=True, evaluated_at=[3])
    engine = open_engine(database_url)
    if database_url.startswith("postgresql"):
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
    with open_reader(database_url) as reader:
        size = queries.database_size(reader)
    rows = {table.name: table.rows for table in size.tables}
    asked = evaluated(3).evaluation
    assert (rows["runs"], rows["tracker_state"], rows["observations"]) == (1, POOL, 6 * BATCH)
    assert (rows["step_summaries"], rows["rollouts"], rows["samples"]) == (6, 6 * BATCH, asked.wanted * 3)
    assert rows["prompts"] == POOL + 3
    assert size.bytes > 10_000
    assert size.version.startswith("PostgreSQL 1" if database_url.startswith("postgresql") else "SQLite 3.")
    assert size.text_bytes > 0
    on_postgres = database_url.startswith("postgresql")
    assert all((table.bytes is not None) == on_postgres for table in size.tables)


def test_an_empty_database_has_a_size(database_url: str) -> None:
    start(database_url, Training()).close(Status.FINISHED)
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM runs"))
    with open_reader(database_url) as reader:
        assert queries.database_size(reader).text_bytes == 0


def test_best_scores_are_of_whole_evaluations_by_a_scorer_that_judged_them_all(database_url: str) -> None:
    write(database_url, "a", 3, 100, 0.5)
    write(database_url, "b", 3, 100, 0.5)
    early, late = benchmarked(database_url, "a", (0, 20))
    benchmarked(database_url, "b", (0,), benchmark="aime_2025", samples=4)
    unfinished = EvaluationInfo("brumo", benchmark_prompts(2, "brumo"), 4, 1, "a/model", Origin.EVALUATION, SETTINGS)
    with Evaluating(StoreConfig(url=database_url), "a", 1) as store:
        store.begin(unfinished)
    with open_reader(database_url) as reader:
        means = {
            (number, scorer): queries.evaluation_scores(reader, number, scorer).score.mean()
            for number in (early, late)
            for scorer in ("math_verify", "reward")
        }
        found = queries.best_scores(reader, [1, 2, 3], ("math_verify", "reward"))
        assert means[late, "math_verify"] > means[early, "math_verify"]
        assert found[1] == {"aime_2024 avg@8": pytest.approx(means[late, "math_verify"])}
        assert list(found[2]) == ["aime_2025 avg@4"]
        with open_engine(database_url).begin() as connection:
            wanted = (Verdict.evaluation_id == early, Verdict.scorer == "math_verify", Verdict.place == 3)
            connection.execute(delete(Verdict).where(*wanted))
        found = queries.best_scores(reader, [1], ("math_verify", "reward"))
        assert found == {1: {"aime_2024 avg@8": pytest.approx(means[late, "reward"])}}


def test_a_failed_session_scores_nothing_and_hides_no_evaluation(database_url: str) -> None:
    write(database_url, "a", 3, 100, 0.5)
    (number,) = benchmarked(database_url, "a", (20,))
    with open_reader(database_url) as reader, open_engine(database_url).begin() as connection:
        scores = queries.evaluation_scores(reader, number, "math_verify").score
        right = int(np.flatnonzero(scores == 1)[0])
        failed = {"evaluation_id": number, "place": right // 8, "sample": right % 8}
        connection.execute(update(Sample).filter_by(**failed).values(finish=Finish.FAILED))
        connection.execute(delete(Verdict).filter_by(**failed))
    with open_reader(database_url) as reader:
        found = queries.best_scores(reader, [1], ("math_verify", "reward"))
    assert found == {1: {"aime_2024 avg@8": pytest.approx((scores.sum() - 1) / scores.size)}}


def test_a_policy_of_a_step_that_was_superseded_has_no_best_score(database_url: str) -> None:
    write(database_url, "a", 4, 100, 0.5)
    early, late = benchmarked(database_url, "a", (2, 40))
    write(database_url, "a", 1, 100, 0.5, resume_step=2)
    with open_reader(database_url) as reader:
        means = [queries.evaluation_scores(reader, number, "math_verify").score.mean() for number in (early, late)]
        assert means[0] != means[1]
        found = queries.best_scores(reader, [1], ("math_verify", "reward"))
    assert found == {1: {"aime_2024 avg@8": pytest.approx(means[0])}}
