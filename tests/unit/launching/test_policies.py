"""Which policy a user names."""

from pathlib import Path

import pytest

from verl_spo.errors import CheckpointError, ConfigError, StoreError
from verl_spo.launching import policies
from verl_spo.launching.policies import Policy
from verl_spo.store import open_reader
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs import starts


def find(db: str, target: object, step: int | None = None, is_model: bool = False) -> Policy:
    with open_reader(db) as reader:
        return policies.find(str(target), step, reader, is_model)


def test_a_run_is_evaluated_at_its_latest_checkpoint_or_the_one_named(db: str, folder: Path) -> None:
    latest, earlier, first = find(db, "demo/spo"), find(db, "demo/spo", 2), find(db, "demo/spo", 0)
    assert latest.checkpoint == folder / "checkpoints" / "spo" / "global_step_4"
    assert [(each.step, each.attempt) for each in (latest, earlier, first)] == [(4, 2), (2, 1), (0, 1)]
    assert first.checkpoint is None
    with pytest.raises(
        CheckpointError, match=r"global_step_3: no checkpoint with weights; there are global_step_2, glo"
    ):
        find(db, "demo/spo", 3)


def test_a_run_that_has_never_trained_has_no_policy(db: str) -> None:
    starts.begin(open_engine(db), "demo/new", "elsewhere:1:2:3:4", "loading the model")
    with pytest.raises(ConfigError, match=r"run 'demo/new': has never trained, so it has no checkpoints"):
        find(db, "demo/new")


def test_a_model_is_a_folder_or_with_a_recipe_a_name(db: str, folder: Path) -> None:
    assert find(db, folder / "model").model == str(folder / "model")
    assert find(db, "Qwen/Qwen3-0.6B", is_model=True).model == "Qwen/Qwen3-0.6B"
    assert find(db, "demo/spo", is_model=True).run is not None
    with pytest.raises(StoreError, match=r"run .Qwen/Qwen3-0\.6B.: not in"):
        find(db, "Qwen/Qwen3-0.6B")


def test_a_checkpoint_knows_its_step(db: str, folder: Path) -> None:
    checkpoint = folder / "checkpoints" / "spo" / "global_step_2"
    assert (find(db, checkpoint).run, find(db, checkpoint, 2).step) == (None, 2)
    with pytest.raises(ConfigError, match=r"--step 3: .*global_step_2 is of step 2"):
        find(db, checkpoint, 3)


def test_a_model_may_have_a_number_for_a_name(db: str, folder: Path) -> None:
    (folder / "model").rename(folder / "7")
    assert find(db, folder / "7").model == str(folder / "7")
