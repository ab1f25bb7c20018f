"""Looking after a database: renaming, tagging, deleting, pruning, giving space back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update

from tests.support.stores import BATCH, POOL, Training, evaluated, evaluation, info, samples, start, trained, writing
from verl_spo.config import StoreConfig
from verl_spo.errors import StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.runs import manage, upkeep
from verl_spo.store.runs.status import Status
from verl_spo.store.runs.upkeep import Policy
from verl_spo.store.schema import Base, Run


@pytest.fixture
def engine(database_url: str) -> Engine:
    """A database with a run that went back from step 6 to step 2 and on to 4, and another run."""
    training = trained(database_url, steps=6, texts=True, evaluated_at=(2, 5))
    training.step = 2
    with writing(database_url, training, resume_step=2) as writer:
        writer.submit(training.advance(texts=True))
        writer.submit(training.advance(texts=True))
        writer.evaluate(evaluated(4))
    trained(database_url, steps=3, texts=True, run=info("other", "b" * 32), evaluated_at=(1, 3))
    return open_engine(database_url)


def count(engine: Engine) -> dict[str, int]:
    """Rows by table."""
    with engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
            if table.name != "prompt_search"
        }


def test_stats_count_what_there_is(engine: Engine, database_url: str) -> None:
    with open_reader(database_url) as reader:
        stats = upkeep.stats(reader)
    assert stats.size > 0
    assert {table.name: table.rows for table in stats.tables} == count(engine)
    sizes = {run.name: (run.observations, run.superseded) for run in stats.runs}
    assert sizes == {"demo/spo": (8 * BATCH, 4 * BATCH), "other": (3 * BATCH, 0)}


def test_pruning_deletes_what_it_said_and_nothing_else(engine: Engine, database_url: str) -> None:
    before = count(engine)
    policy = Policy([1, 2], superseded=True)
    said = upkeep.prunable(engine, policy)
    assert said.rows["observations"] == 4 * BATCH
    upkeep.prune(engine, policy)
    after = count(engine)
    gone = {name: before[name] - after[name] for name in before if before[name] != after[name]}
    assert gone == {name: rows for name, rows in said.rows.items() if rows}
    with open_reader(database_url) as reader:
        rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, 1, prompt)]
        assert not any(row.superseded for row in rows)
        assert sorted({row.step for row in rows}) == [1, 2, 3, 4]
        assert queries.run(reader, "demo/spo").run.rollout_bytes > 0
    assert not any(upkeep.prunable(engine, policy).rows.values())


def test_a_row_that_goes_for_two_reasons_is_announced_once(engine: Engine, database_url: str) -> None:
    policy = Policy([1, 2], superseded=True, keep_rollouts=0)
    said = upkeep.prunable(engine, policy)
    assert said.rows["rollouts"] == count(engine)["rollouts"] == 11 * BATCH
    with open_reader(database_url) as reader:
        assert said.rollout_bytes == sum(run.rollout_bytes for run in queries.runs(reader))
    upkeep.prune(engine, policy)
    assert count(engine)["rollouts"] == 0


def test_texts_of_old_steps_can_go(engine: Engine, database_url: str) -> None:
    policy = Policy([2], keep_rollouts=1)
    said = upkeep.prunable(engine, policy)
    assert said.rows == {"rollouts": 2 * BATCH, "sample_texts": 9}
    with open_reader(database_url) as reader:
        before = queries.run(reader, "other").run.rollout_bytes
        upkeep.prune(engine, policy)
        assert queries.run(reader, "other").run.rollout_bytes == before - said.rollout_bytes
        assert {row.observation.step for row in queries.rollouts(reader, 2, limit=100).rows} == {3}
        assert len(queries.rollouts(reader, 1, limit=100).rows) == 4 * BATCH


def test_vacuuming_gives_space_back(sqlite_url: str) -> None:
    trained(sqlite_url, steps=200)
    engine = open_engine(sqlite_url)
    manage.delete_run(engine, "demo/spo")
    path = Path(engine.url.database or "")
    before = path.stat().st_size
    upkeep.vacuum(engine)
    assert path.stat().st_size < before / 2


def test_vacuuming_postgres_is_possible(postgres_url: str) -> None:
    trained(postgres_url, steps=2)
    upkeep.vacuum(open_engine(postgres_url))


def test_deleting_a_run_leaves_the_others(engine: Engine, database_url: str) -> None:
    manage.delete_run(engine, "demo/spo")
    with open_reader(database_url) as reader:
        assert [run.name for run in queries.runs(reader)] == ["other"]
        assert len(queries.prompts(reader, 2, limit=POOL).rows) == POOL
    left = count(engine)
    assert left["observations"] == 3 * BATCH
    assert left["tracker_state"] == POOL
    assert left["prompts"] == POOL + len(evaluation().problems)
    assert left["attempts"] == 1
    assert (left["evaluations"], left["samples"], left["verdicts"]) == (2, 24, 18)


def test_deleting_many_rows_takes_several_transactions(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_ROWS_A_TRANSACTION", 5)
    manage.delete_run(engine, "demo/spo")
    assert count(engine)["observations"] == 3 * BATCH


def test_a_run_can_be_renamed(engine: Engine, database_url: str) -> None:
    manage.rename(engine, "other", "better")
    with open_reader(database_url) as reader:
        assert {run.name for run in queries.runs(reader)} == {"demo/spo", "better"}
    for new, message in (("demo/spo", "another run has it"), (" ", "must not be empty")):
        with pytest.raises(StoreError, match=message):
            manage.rename(engine, "better", new)
    with pytest.raises(StoreError, match="run 'other': not in"):
        manage.rename(engine, "other", "x")


def test_tags_are_added_and_removed(engine: Engine, database_url: str) -> None:
    assert manage.tag(engine, "other", ["good", "a\0b"], []) == ["a\ufffdb", "good"]
    assert manage.tag(engine, "other", ["best"], ["good"]) == ["a\ufffdb", "best"]
    with open_reader(database_url) as reader:
        assert [run.name for run in queries.runs(reader, tag="best")] == ["other"]


def test_a_run_that_is_being_written_is_left_alone(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    engine = open_engine(database_url)
    for change in (lambda: manage.delete_run(engine, "demo/spo"), lambda: manage.rename(engine, "demo/spo", "x")):
        with pytest.raises(StoreError, match="writes it"):
            change()
    writer.close(Status.FINISHED)


def interrupted(engine: Engine, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Delete a run; when some of its rows are gone, do something and be interrupted."""

    def interrupt(*arguments: object) -> None:
        meanwhile()
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(manage, "delete_in_parts", interrupt)
        with pytest.raises(KeyboardInterrupt):
            manage.delete_run(engine, "demo/spo")


def test_a_run_that_is_being_deleted_is_not_started(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        for change in (
            lambda: start(database_url, Training()),
            lambda: manage.rename(engine, "demo/spo", "x"),
            lambda: manage.delete_run(engine, "demo/spo"),
        ):
            with pytest.raises(StoreError, match=r"run 'demo/spo': process \d+ on .* deletes it"):
                change()

    interrupted(engine, monkeypatch, refused)
    # Nobody deletes it any more: it can be deleted again, by the same process too.
    with open_reader(database_url) as reader:
        assert queries.run(reader, "demo/spo").run.status == "deleting"
    manage.delete_run(engine, "demo/spo")
    with open_reader(database_url) as reader:
        assert [run.name for run in queries.runs(reader)] == ["other"]


def test_a_deletion_that_lost_its_run_deletes_no_more(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in_parts = upkeep.delete_in_parts
    before = count(engine)

    def lose(*arguments: Any) -> None:
        with engine.begin() as connection:
            connection.execute(update(Run).where(Run.name == "demo/spo").values(owner="elsewhere:1:2:3:4"))
        take_in_parts(*arguments)

    monkeypatch.setattr(manage, "delete_in_parts", lose)
    with pytest.raises(StoreError, match="another process took it over"):
        manage.delete_run(engine, "demo/spo")
    assert count(engine) == before


def test_evaluations_of_models_of_no_run_are_deleted_without_the_others(engine: Engine, database_url: str) -> None:
    for model in ("a", "b"):
        with Evaluating(StoreConfig(url=database_url)) as store:
            asked = evaluation(0, model=model)
            store.add(store.begin(asked), samples(asked))
    before = count(engine)
    with open_reader(database_url) as reader:
        first, second = queries.evaluations(reader, None)
    upkeep.delete_evaluations(engine, [first.id], texts_only=True)
    after = count(engine)
    assert {name: before[name] - after[name] for name in before if before[name] != after[name]} == {"sample_texts": 9}
    upkeep.delete_evaluations(engine, [first.id])
    with open_reader(database_url) as reader:
        assert [row.model for row in queries.evaluations(reader, None)] == [second.model]
        assert queries.evaluation_samples(reader, second.id)[0].response is not None
    gone = {name: rows - count(engine)[name] for name, rows in after.items()}
    assert {name: rows for name, rows in gone.items() if rows} == {
        "evaluations": 1,
        "evaluation_problems": 3,
        "samples": 12,
        "verdicts": 9,
    }
