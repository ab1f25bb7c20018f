"""What a run leaves in the database, from the first step to the last, through resumes and restarts."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from tests.support.stores import BATCH, POOL, Training, evaluated, info, pool, start, trained, writing
from verl_spo.config import StoreConfig
from verl_spo.errors import StoreError
from verl_spo.store import Reader, open_reader, open_writer, queries
from verl_spo.store.database.connections import open_engine
from verl_spo.store.records import InitScores, Parent
from verl_spo.store.runs.status import Status
from verl_spo.store.schema import Base, Evaluation, Observation, Prompt


def assert_tracker(reader: Reader, training: Training, name: str = "demo/spo") -> None:
    """The database has the training's tracker, to the last bit."""
    stored = queries.tracker(reader, queries.run(reader, name).run.id)
    slots = {prompt.digest: slot for slot, prompt in enumerate(pool(training.tracker.size))}
    order = [slots[bytes(digest)] for digest in stored.digests]
    for field in ("alpha", "beta", "z", "visits", "last_step"):
        np.testing.assert_array_equal(getattr(stored, field), getattr(training.tracker, field)[order], err_msg=field)


def live_steps(reader: Reader, name: str = "demo/spo") -> list[int]:
    """Steps of the observations that count, with one entry an observation."""
    run_id = queries.run(reader, name).run.id
    rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, run_id, prompt)]
    return sorted(row.step for row in rows if not row.superseded)


def test_a_run_leaves_everything(database_url: str) -> None:
    training = trained(database_url, steps=5)
    with open_reader(database_url) as reader:
        run = queries.run(reader, "demo/spo")
        assert run.run.status == "finished"
        assert run.run.last_step == 5
        assert run.run.pool_size == POOL
        assert run.config == {"trainer": {"total_training_steps": 100}}
        assert run.attempts[0].git == {"commit": "0" * 40, "dirty": False}
        assert_tracker(reader, training)
        assert live_steps(reader) == sorted(list(range(1, 6)) * BATCH)
        assert [row.step for row in queries.step_summaries(reader, run.run.id)] == [1, 2, 3, 4, 5]


def test_an_observation_keeps_what_it_was_given(database_url: str) -> None:
    training = Training()
    with writing(database_url, training) as writer:
        record = training.advance()
        writer.submit(record)
    given = record.observations
    with open_reader(database_url) as reader:
        for place, slot in enumerate(given.slot):
            (row,) = queries.prompt_history(reader, 1, int(slot) + 1)
            assert (row.step, row.attempt, row.seq) == (1, 1, place)
            assert (row.reward, row.baseline) == (given.reward[place], given.baseline[place])
            assert (row.advantage, row.rho) == (given.advantage[place], given.rho[place])
            assert (row.alpha, row.beta) == (given.alpha[place], given.beta[place])
            assert row.policy_change is None
            assert (row.uid, row.response_length) == (given.uid[place], given.response_length[place])


def test_records_do_not_change_with_the_arrays_they_were_made_of(database_url: str) -> None:
    training = Training()
    with writing(database_url, training) as writer:
        record = training.advance()
        expected = training.tracker.alpha.copy()
        writer.submit(record)
        training.tracker.alpha[:] = 99.0
    training.tracker.alpha[:] = expected
    with open_reader(database_url) as reader:
        assert_tracker(reader, training)


def test_prompts_are_shared_by_runs(database_url: str) -> None:
    trained(database_url, steps=1)
    trained(database_url, steps=1, run=info("demo/other", "b" * 32))
    with open_engine(database_url).connect() as connection:
        prompts = Base.metadata.tables["prompts"]
        assert len(connection.execute(select(prompts.c.id)).all()) == POOL


def test_resuming_supersedes_what_lies_beyond_the_checkpoint(database_url: str) -> None:
    training = trained(database_url, steps=3)
    checkpoint = training.rows()
    first = start(database_url, training, resume_step=3)
    for _ in range(4):
        first.submit(training.advance())
    first.close(Status.FAILED)

    resumed = Training()
    resumed.step = 3
    resumed.tracker.load_state_dict({name: getattr(checkpoint, name) for name in resumed.tracker.state_dict()})
    with writing(database_url, resumed, resume_step=3) as writer:
        with open_reader(database_url) as reader:
            assert_tracker(reader, resumed)
            assert live_steps(reader) == sorted([1, 2, 3] * BATCH)
            assert queries.run(reader, "demo/spo").run.last_step == 3
        writer.submit(resumed.advance())

    with open_reader(database_url) as reader:
        assert_tracker(reader, resumed)
        assert live_steps(reader) == sorted([1, 2, 3, 4] * BATCH)
        rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, 1, prompt)]
        superseded = sorted(row.step for row in rows if row.superseded)
        assert superseded == sorted([4, 5, 6, 7] * BATCH)
        assert [(a.resumed_from, a.kept_through) for a in queries.run(reader, "demo/spo").attempts] == [
            (None, 3),
            (3, 3),
            (3, None),
        ]


def test_going_back_twice_keeps_what_both_kept(database_url: str) -> None:
    training = trained(database_url, steps=6)
    for resume_step in (5, 2, 4):
        start(database_url, training, resume_step=resume_step).close(Status.STOPPED)
    with open_reader(database_url) as reader:
        assert [attempt.kept_through for attempt in queries.run(reader, "demo/spo").attempts] == [2, 2, 4, None]
        assert live_steps(reader) == sorted([1, 2] * BATCH)


def test_a_lost_database_is_refilled_with_the_present_state(database_url: str) -> None:
    training = Training()
    for _ in range(5):
        training.advance()
    with writing(database_url, training, resume_step=5) as writer:
        with open_reader(database_url) as reader:
            assert queries.run(reader, "demo/spo").run.last_step == 5
            assert_tracker(reader, training)
        writer.submit(training.advance())
    with open_reader(database_url) as reader:
        assert_tracker(reader, training)


def test_beginning_anew_supersedes_the_run_of_that_name(database_url: str) -> None:
    trained(database_url, steps=4)
    anew = trained(database_url, steps=2, run=info(uid="b" * 32))
    with open_reader(database_url) as reader:
        run = queries.run(reader, "demo/spo")
        assert (run.run.attempt, run.run.uid, run.run.last_step) == (2, "b" * 32, 2)
        assert live_steps(reader) == sorted([1, 2] * BATCH)
        assert_tracker(reader, anew)


def test_beginning_anew_on_other_data_replaces_the_pool(database_url: str) -> None:
    trained(database_url, steps=1)
    smaller = Training(size=10)
    with writing(database_url, smaller, run=info(uid="b" * 32, pool_digest=b"q" * 16)):
        pass
    with open_reader(database_url) as reader:
        assert queries.run(reader, "demo/spo").run.pool_size == 10
        assert_tracker(reader, smaller)


BRANCH = info("demo/branch", "b" * 32, parent=Parent("a" * 32, "demo/spo", 4))


def branch(url: str, training: Training, steps: int, **options: Any) -> None:
    """A run of its own that goes on where the training stands."""
    with writing(url, training, run=BRANCH, **options) as writer:
        for _ in range(steps):
            writer.submit(training.advance())


def test_a_run_that_branches_goes_on_with_the_parents_tracker_and_a_history_of_its_own(database_url: str) -> None:
    training = trained(database_url, steps=4)
    inherited = training.rows()
    start(database_url, training, run=BRANCH).close(Status.FAILED)
    with open_reader(database_url) as reader:
        run = queries.run(reader, "demo/branch").run
        assert (run.parent_uid, run.parent_name, run.parent_step) == ("a" * 32, "demo/spo", 4)
        assert (run.last_step, run.begins_after, run.uid) == (4, 4, "b" * 32)
        assert_tracker(reader, training, "demo/branch")
        assert live_steps(reader, "demo/branch") == []
    # The first attempt ended before there was a checkpoint: the run branches anew.
    branch(database_url, training, steps=3)
    with open_reader(database_url) as reader:
        run = queries.run(reader, "demo/branch")
        assert (run.run.last_step, run.run.attempt) == (7, 2)
        assert [attempt.resumed_from for attempt in run.attempts] == [None, None]
        assert_tracker(reader, training, "demo/branch")
        assert live_steps(reader, "demo/branch") == sorted([5, 6, 7] * BATCH)
        assert [row.step for row in queries.step_summaries(reader, run.run.id)] == [5, 6, 7]
        assert queries.rewards_at(reader, run.run.id, range(1, 8))[0][0] == 5
        assert queries.metric_series(reader, [run.run.id], ["spo/reward"]).series[0].steps.tolist() == [5, 6, 7]
        # The parent is as it was.
        assert live_steps(reader) == sorted([1, 2, 3, 4] * BATCH)
        before = queries.tracker(reader, queries.run(reader, "demo/spo").run.id)
        assert before.visits.sum() == inherited.visits.sum()


def test_a_run_that_branched_resumes_as_itself_and_keeps_its_parent(database_url: str) -> None:
    training = trained(database_url, steps=4)
    branch(database_url, training, steps=2)
    branch(database_url, training, steps=1, resume_step=6)
    with open_reader(database_url) as reader:
        found = queries.run(reader, "demo/branch")
        assert [(attempt.resumed_from, attempt.kept_through) for attempt in found.attempts] == [(None, 6), (6, None)]
        assert (found.run.parent_step, found.run.last_step) == (4, 7)
        assert live_steps(reader, "demo/branch") == sorted([5, 6, 7] * BATCH)


def test_a_run_of_that_name_that_begins_by_itself_has_no_parent(database_url: str) -> None:
    branch(database_url, trained(database_url, steps=4), steps=2)
    trained(database_url, steps=1, run=replace(BRANCH, uid="c" * 32, parent=None))
    with open_reader(database_url) as reader:
        run = queries.run(reader, "demo/branch").run
        assert (run.parent_uid, run.parent_name, run.parent_step, run.last_step) == (None, None, None, 1)
        assert live_steps(reader, "demo/branch") == [1] * BATCH


def test_a_checkpoint_of_another_run_is_refused(database_url: str) -> None:
    training = trained(database_url, steps=1)
    with pytest.raises(StoreError, match="another run of this name"):
        start(database_url, training, run=info(uid="b" * 32), resume_step=1)


def test_a_run_that_is_being_written_is_refused(database_url: str) -> None:
    training = Training()
    with writing(database_url, training), pytest.raises(StoreError, match=r"process \d+ on .* writes it"):
        start(database_url, training)


def test_a_pool_that_does_not_fit_the_tracker_is_refused(database_url: str) -> None:
    training = Training(size=10)
    with pytest.raises(StoreError, match="has 10 slots, but the pool has 9 prompts"):
        open_writer(StoreConfig(url=database_url), info(), pool(9), training.rows(), None)


def test_metrics_may_come_later_again_and_not_be_numbers(database_url: str) -> None:
    training = Training()
    with writing(database_url, training) as writer:
        writer.submit(training.advance())
        writer.log(1, {"spo/reward": 0.25, "val-core/arithmetic/acc/mean@1": 0.5})
        writer.log(0, {"val-core/arithmetic/acc/mean@1": 0.25})
        writer.log(1, {"actor/grad_norm": float("nan"), "actor/kl": float("inf")})
    with open_reader(database_url) as reader:
        names = queries.metric_names(reader, [1])
        series = {found.name: found for found in queries.metric_series(reader, [1], names).series}
    assert series["spo/reward"].values.tolist() == [0.25]
    assert series["val-core/arithmetic/acc/mean@1"].steps.tolist() == [0, 1]
    assert np.isnan(series["actor/grad_norm"].values).all()
    assert series["actor/kl"].values.tolist() == [np.inf]


def test_evaluations_and_scores_from_before_training_are_kept(database_url: str) -> None:
    with writing(database_url, Training()) as writer:
        writer.add_init_scores(InitScores([0, 1], [8, 8], [4.0, 8.0]))
        writer.add_init_scores(InitScores([1], [16], [9.0]))
        writer.evaluate(evaluated(0))
        writer.evaluate(evaluated(0))
    with open_reader(database_url) as reader:
        assert queries.init_scores(reader, 1) == {pool()[0].digest: (8, 4.0), pool()[1].digest: (16, 9.0)}
        (result,) = queries.evaluations(reader, 1)
        assert (result.benchmark, result.step, result.attempt, result.samples) == ("aime_2024", 0, 1, 12)
        assert queries.tracker(reader, 1).known.sum() == 2


def test_what_is_not_a_number_is_stored_alike_by_both_databases(database_url: str) -> None:
    odd = {"nan": math.nan, "inf": [math.inf, {"minus": -math.inf}], "one": 1.5}
    null = {"nan": None, "inf": [None, {"minus": None}], "one": 1.5}
    training = Training()
    prompts = [replace(prompt, messages=[{**prompt.messages[-1], "weight": math.nan}]) for prompt in pool()]
    writer = open_writer(
        StoreConfig(url=database_url), info(config=odd, git=odd), prompts, training.rows(), resume_step=None
    )
    record = training.advance()
    writer.submit(replace(record, summary={**record.summary, "odd": odd}))
    writer.evaluate(evaluated(1, settings=odd))
    writer.close(Status.FINISHED)
    with open_reader(database_url) as reader:
        found = queries.run(reader, "demo/spo").attempts[0]
        assert (found.config, found.git) == (null, null)
        (summary,) = queries.step_summaries(reader, 1)
        assert summary.details["odd"] == null
        with reader.connect() as connection:
            assert connection.execute(select(Evaluation.settings)).scalar_one() == null
            assert connection.execute(select(Prompt.messages)).scalars().first()[0]["weight"] is None


def test_texts_keep_to_their_budget_and_the_oldest_go_first(database_url: str) -> None:
    training = Training(size=200, batch=100)
    rng = np.random.default_rng(0)
    with writing(database_url, training, rollout_budget_mb=1) as writer:
        for _ in range(8):
            record = training.advance(texts=True)
            # Does not compress: about 200 KiB a step.
            record.observations.response_text[:] = [
                "".join(map(chr, rng.integers(0x4E00, 0x9FFF, 1000))) for _ in range(100)
            ]
            writer.submit(record)
    with open_reader(database_url) as reader:
        run = queries.run(reader, "demo/spo").run
        kept = {row.observation.step for row in queries.rollouts(reader, run.id, limit=1000).rows}
        assert 0 < run.rollout_bytes <= 2**20
        assert kept == set(range(min(kept), 9))
        assert len(kept) < 8


def test_no_text_is_kept_without_a_budget(database_url: str) -> None:
    trained(database_url, steps=2, texts=True, rollout_budget_mb=0)
    with open_reader(database_url) as reader:
        assert queries.rollouts(reader, 1).rows == ()


def test_only_some_texts_need_be_kept(database_url: str) -> None:
    training = Training()
    with writing(database_url, training) as writer:
        record = training.advance(texts=True)
        record.observations.prompt_text[1:] = [None] * (BATCH - 1)
        record.observations.response_text[2:] = [None] * (BATCH - 2)
        writer.submit(record)
    with open_reader(database_url) as reader:
        kept = [(row.prompt, row.response) for row in queries.rollouts(reader, 1).rows]
    first, second = record.observations.slot[:2]
    assert kept == [(None, f"answer {second} at 1"), (f"prompt {first}", f"answer {first} at 1")]


def test_an_empty_step_is_a_step(database_url: str) -> None:
    training = Training(batch=0)
    with writing(database_url, training) as writer:
        with np.errstate(invalid="ignore"), pytest.warns(RuntimeWarning):
            record = training.advance()
        writer.submit(record)
    with open_reader(database_url) as reader:
        (summary,) = queries.step_summaries(reader, 1)
        assert (summary.observations, summary.reward_mean) == (0, None)


def test_closing_twice_is_harmless_and_writing_afterwards_is_not(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    writer.close(Status.STOPPED)
    writer.close(Status.FINISHED)
    with pytest.raises(StoreError, match="closed"):
        writer.submit(training.advance())
    with open_reader(database_url) as reader:
        assert queries.run(reader, "demo/spo").run.status == "stopped"


def test_a_record_that_cannot_be_written_stops_training(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    record = training.advance()
    writer.submit(record)
    writer.submit(record)
    with pytest.raises(StoreError, match=r"\d records cannot be written"):
        writer.flush()
    with pytest.raises(StoreError, match="observations"):
        writer.submit(training.advance())
    with pytest.raises(StoreError):
        writer.close(Status.FAILED)


def test_another_writer_that_took_the_run_over_is_noticed(database_url: str) -> None:
    training = Training()
    writer = start(database_url, training)
    with open_engine(database_url).begin() as connection:
        connection.execute(Base.metadata.tables["runs"].update().values(owner="elsewhere:1:2:3:4"))
    writer.submit(training.advance())
    with pytest.raises(StoreError, match="took it over"):
        writer.flush()
    with pytest.raises(StoreError):
        writer.close(Status.FAILED)
    with open_engine(database_url).connect() as connection:
        assert connection.execute(select(Observation.step)).all() == []
