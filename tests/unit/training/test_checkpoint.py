"""SPO's part of a checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from verl_spo.errors import CheckpointError
from verl_spo.store.records import Parent
from verl_spo.training import checkpoint
from verl_spo.training.checkpoint import Checkpoint, Identity

IDENTITY = Identity(run_uid="ab12", run_name="math/spo", pool="00ff")


def example(step: int = 3) -> Checkpoint:
    return Checkpoint(IDENTITY, step, {"tracker.alpha": np.linspace(0, 1, 5), "sampler": {"rng": 2**100}})


def test_round_trip(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, example())
    found = checkpoint.load(tmp_path, "math/spo")
    assert (found.identity, found.step) == (IDENTITY, 3)
    np.testing.assert_equal(found.state, example().state)


@pytest.mark.parametrize("sees_weights", [True, False])
def test_states_whose_weights_are_gone_go_too(tmp_path: Path, sees_weights: bool) -> None:
    for step in (2, 4, 6):
        checkpoint.save(tmp_path / f"global_step_{step}", example(step))
    if sees_weights:
        for step in (4, 6):
            (tmp_path / f"global_step_{step}" / "actor").mkdir()
    checkpoint.prune(tmp_path, 6)
    left = sorted(path.parent.name for path in tmp_path.glob("global_step_*/spo"))
    assert left == ["global_step_2", "global_step_4", "global_step_6"][sees_weights:]


@pytest.mark.parametrize("name", ["state.json", "arrays.npz"])
def test_a_torn_state_is_refused(tmp_path: Path, name: str) -> None:
    checkpoint.save(tmp_path, example())
    file = tmp_path / "spo" / name
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(CheckpointError, match=r"spo: damaged .*trainer.resume_mode=resume_path"):
        checkpoint.load(tmp_path, "math/spo")


def test_a_second_save_replaces_the_first_whole(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, example(3))
    checkpoint.save(tmp_path, example(4))
    assert checkpoint.load(tmp_path, "math/spo").step == 4
    assert [path.name for path in tmp_path.iterdir()] == ["spo"]


def test_an_unfinished_save_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".spo.unfinished").mkdir()
    with pytest.raises(CheckpointError, match=r"no SPO state in it.*trainer\.resume_mode=disable"):
        checkpoint.load(tmp_path, "math/spo")


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, example())
    with pytest.raises(CheckpointError, match="belongs to run 'math/spo', but this run is 'math/grpo'"):
        checkpoint.load(tmp_path, "math/grpo")


def test_a_run_begins_from_another_ones_checkpoint_where_it_says_so(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, example())
    assert checkpoint.load(tmp_path, "math/long", branches=True).identity == IDENTITY
    with pytest.raises(CheckpointError, match=r"with spo\.branch_from, in a trainer\.default_local_dir of its own"):
        checkpoint.load(tmp_path, "math/long")
    with pytest.raises(CheckpointError, match="belongs to this very run, 'math/spo', which cannot branch from itself"):
        checkpoint.load(tmp_path, "math/spo", branches=True)


def test_a_checkpoint_knows_the_parent_of_its_run(tmp_path: Path) -> None:
    identity = replace(IDENTITY, run_name="math/long", parent=Parent("ab12", "math/spo", 2))
    checkpoint.save(tmp_path, replace(example(), identity=identity))
    assert checkpoint.load(tmp_path, "math/long").identity == identity


def test_a_checkpoint_from_before_there_were_parents_is_read(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, example())
    state = tmp_path / "spo" / "state.json"
    document = json.loads(state.read_text())
    del document["parent"]
    state.write_text(json.dumps(document))
    assert checkpoint.load(tmp_path, "math/spo").identity == IDENTITY


def test_another_format_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, example())
    state = tmp_path / "spo" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match=f"format 99, this version of verl-spo reads {checkpoint.FORMAT}"):
        checkpoint.load(tmp_path, "math/spo")


def test_another_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"its prompt pool is 00ff, data.train_files give 11aa"):
        checkpoint.check_pool(example(), "11aa", tmp_path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, example())
    np.savez(tmp_path / "spo" / "arrays.npz", x=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(CheckpointError, match="allow_pickle"):
        checkpoint.load(tmp_path, "math/spo")
