"""SIGKILL at any moment: the database opens clean, and a resume agrees with the checkpoint."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from tests.support.crashing import (
    BEGAN,
    CHECKPOINT_EVERY,
    begin,
    begin_together,
    checkpoint_without_database,
    restore,
    train,
)
from tests.support.stores import BATCH, POOL, Training, pool
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import open_engine

STEPS = 20


@pytest.mark.parametrize("kills", [15, pytest.param(50, marks=pytest.mark.long)])
def test_a_run_survives_being_killed_again_and_again(database_url: str, tmp_path: Path, kills: int) -> None:
    rng = np.random.default_rng(kills)
    for _ in range(kills):
        # A run that would end is longer by a checkpoint: each of the kills hits one that trains.
        steps = restore(tmp_path).step + STEPS
        _kill(database_url, tmp_path, steps, after=int(rng.integers(0, STEPS)))
        _check_integrity(database_url)
        _check_history(database_url)
    # A resume that has nothing to do leaves the tracker as the checkpoint has it.
    _train_through(database_url, tmp_path, restore(tmp_path).step)
    _check_tracker(database_url, restore(tmp_path))
    steps = restore(tmp_path).step + 3
    _train_through(database_url, tmp_path, steps)
    _check_history(database_url)
    _check_tracker(database_url, _undisturbed(steps))


@pytest.mark.parametrize(("stage", "declared"), [("settled", 1), ("declared", 2), ("secured", 2)])
def test_a_run_is_killed_at_a_checkpoint_while_the_database_is_away(
    database_url: str, tmp_path: Path, stage: str, declared: int
) -> None:
    child, told = begin(checkpoint_without_database, database_url, tmp_path)
    while told.recv() != stage:
        told.send("go on")
    child.kill()
    child.join()
    _check_integrity(database_url)
    assert restore(tmp_path).step == declared * CHECKPOINT_EVERY
    assert len(list(tmp_path.glob("*.spool"))) == 1
    with open_reader(database_url) as reader:
        assert queries.run(reader, "demo/spo").run.last_step == CHECKPOINT_EVERY
    steps = restore(tmp_path).step + 3
    _train_through(database_url, tmp_path, steps)
    _check_history(database_url)
    _check_tracker(database_url, _undisturbed(steps))
    assert list(tmp_path.glob("*.spool*")) == []


def _train_through(url: str, folder: Path, steps: int) -> None:
    child, _ = begin(train, url, folder, steps)
    child.join()
    assert child.exitcode == 0


def _kill(url: str, folder: Path, steps: int, after: int) -> None:
    child, report = begin(train, url, folder, steps)
    for _ in range(after + 1):
        report.recv()
    child.kill()
    child.join()


def _undisturbed(steps: int) -> Training:
    training = Training()
    for _ in range(steps):
        training.advance()
    return training


def _check_integrity(url: str) -> None:
    if url.startswith("sqlite"):
        with open_engine(url).connect() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []


def _check_history(url: str) -> None:
    """Every step that counts is whole, there once, and what an undisturbed run would have."""
    with open_reader(url) as reader:
        run = queries.run(reader, "demo/spo").run
        rows = [row for prompt in range(1, POOL + 1) for row in queries.prompt_history(reader, run.id, prompt)]
        live = {(row.step, row.seq): row for row in rows if not row.superseded}
        assert Counter(step for step, _ in live) == dict.fromkeys(range(1, run.last_step + 1), BATCH)
        assert len(live) == sum(not row.superseded for row in rows)
        assert [row.step for row in queries.step_summaries(reader, run.id)] == list(range(1, run.last_step + 1))
    training = Training()
    for step in range(1, run.last_step + 1):
        expected = training.advance().observations
        assert [live[step, place].reward for place in range(BATCH)] == expected.reward.tolist()
        assert [live[step, place].alpha for place in range(BATCH)] == expected.alpha.tolist()
    _check_tracker(url, training)


def _check_tracker(url: str, training: Training) -> None:
    with open_reader(url) as reader:
        stored = queries.tracker(reader, 1)
    slots = {prompt.digest: slot for slot, prompt in enumerate(pool())}
    order = [slots[bytes(digest)] for digest in stored.digests]
    for name in ("alpha", "beta", "visits", "last_step"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(training.tracker, name)[order])


@pytest.mark.parametrize("together", [2, 4])
def test_of_processes_that_start_one_run_together_one_writes(database_url: str, together: int) -> None:
    children = begin_together(database_url, together)
    # The one that may write does not go on, and so does not end, before all others were refused.
    answers = [told.recv() for _, told in children]
    assert answers.count(BEGAN) == 1
    refused = [answer for answer in answers if answer != BEGAN]
    assert all("writes it (last sign of life" in answer for answer in refused), refused
    children[answers.index(BEGAN)][1].send("go on")
    for child, _ in children:
        child.join()
        assert child.exitcode == 0
    _check_history(database_url)
