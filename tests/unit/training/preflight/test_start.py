"""What a run starts from, continues or writes to must be there."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import CheckpointError, ConfigError, DataError, StoreError
from verl_spo.training import checkpoint, preflight, verl_options


def test_what_a_run_starts_from_must_be_there(demo_dir: Path) -> None:
    with pytest.raises(DataError, match=r"spo.init_file: .*scores.json: no such file of scores"):
        preflight.check(configure(demo_dir, "spo.init=file", f"spo.init_file={demo_dir}/scores.json"))
    with pytest.raises(StoreError, match=r"spo.init_run: run 'math/old': not in .*it has no runs yet"):
        preflight.check(configure(demo_dir, "spo.init=run", "spo.init_run=math/old"))


def test_a_resumed_run_needs_no_longer_what_it_started_from(demo_dir: Path) -> None:
    folder = demo_dir / "checkpoints" / "spo" / "global_step_7"
    identity = checkpoint.Identity("uid", "arithmetic/spo", "00")
    checkpoint.save(folder, checkpoint.Checkpoint(identity, 7, {}))
    (folder.parent / "latest_checkpointed_iteration.txt").write_text("7")
    preflight.check(configure(demo_dir, "spo.init=file", "spo.init_file=gone.json"))


def test_a_checkpoint_of_another_run_is_refused(demo_dir: Path) -> None:
    folder = demo_dir / "checkpoints" / "spo" / "global_step_7"
    identity = checkpoint.Identity("uid", "arithmetic/other", "00")
    checkpoint.save(folder, checkpoint.Checkpoint(identity, 7, {}))
    (folder.parent / "latest_checkpointed_iteration.txt").write_text("7")
    with pytest.raises(CheckpointError, match="belongs to run 'arithmetic/other'"):
        preflight.check(configure(demo_dir))
    preflight.check(configure(demo_dir, "trainer.resume_mode=disable"))


@pytest.mark.parametrize("option", [[], ["spo.branch_from={folder}"]])
def test_a_checkpoint_of_other_ranks_is_refused_before_the_start(demo_dir: Path, option: list[str]) -> None:
    name = "other" if option else "spo"
    folder = demo_dir / "checkpoints" / name / "global_step_7"
    checkpoint.save(folder, checkpoint.Checkpoint(checkpoint.Identity("uid", f"arithmetic/{name}", "00"), 7, {}))
    (folder.parent / "latest_checkpointed_iteration.txt").write_text("7")
    (folder / "actor").mkdir()
    (folder / "actor" / "model_world_size_2_rank_0.pt").touch()
    overrides = [each.format(folder=folder) for each in option]
    with pytest.raises(ConfigError, match=r"trainer.n_gpus_per_node=1: .*global_step_7 has the shards of 2 FSDP ranks"):
        preflight.check(configure(demo_dir, *overrides))
    preflight.check(configure(demo_dir, *overrides, "trainer.n_gpus_per_node=2"))


def test_a_run_may_begin_from_another_ones_checkpoint(demo_dir: Path) -> None:
    parent = demo_dir / "checkpoints" / "other" / "global_step_7"
    checkpoint.save(parent, checkpoint.Checkpoint(checkpoint.Identity("uid", "arithmetic/other", "00"), 7, {}))
    branch = f"spo.branch_from={parent}"
    preflight.check(configure(demo_dir, branch))
    # It counts until the run has a checkpoint of its own.
    assert verl_options.checkpoint_folder(configure(demo_dir, branch)) == parent
    own = demo_dir / "checkpoints" / "spo" / "global_step_9"
    checkpoint.save(own, checkpoint.Checkpoint(checkpoint.Identity("mine", "arithmetic/spo", "00"), 9, {}))
    (own.parent / "latest_checkpointed_iteration.txt").write_text("9")
    assert verl_options.checkpoint_folder(configure(demo_dir, branch)) == own
    preflight.check(configure(demo_dir, branch))
    # Begun anew, it begins where it began.
    assert verl_options.checkpoint_folder(configure(demo_dir, branch, "trainer.resume_mode=disable")) == parent


@pytest.mark.parametrize(
    ("name", "overrides", "error", "expected"),
    [
        ("nothing/global_step_7", [], CheckpointError, "global_step_7: no such checkpoint"),
        ("other", [], ConfigError, "must be the folder of a checkpoint, .../global_step_N"),
        ("other/global_step_7", ["trainer.experiment_name=other"], CheckpointError, "cannot branch from itself"),
        (
            "other/global_step_7",
            ["trainer.del_local_ckpt_after_load=True"],
            ConfigError,
            "would delete the weights of the run that spo.branch_from names; set False",
        ),
    ],
)
def test_a_checkpoint_that_nobody_can_begin_from_is_refused(
    demo_dir: Path, name: str, overrides: list[str], error: type[Exception], expected: str
) -> None:
    parent = demo_dir / "checkpoints" / "other" / "global_step_7"
    checkpoint.save(parent, checkpoint.Checkpoint(checkpoint.Identity("uid", "arithmetic/other", "00"), 7, {}))
    with pytest.raises(error) as caught:
        preflight.check(configure(demo_dir, f"spo.branch_from={demo_dir}/checkpoints/{name}", *overrides))
    assert expected in str(caught.value)


def test_a_checkpoint_that_is_gone_is_refused(demo_dir: Path) -> None:
    root = demo_dir / "checkpoints" / "spo"
    root.mkdir(parents=True)
    (root / "latest_checkpointed_iteration.txt").write_text("9")
    with pytest.raises(CheckpointError, match="global_step_9: no such checkpoint"):
        preflight.check(configure(demo_dir))


def test_a_database_that_cannot_be_written_is_refused(demo_dir: Path) -> None:
    with pytest.raises(StoreError, match="its folder does not exist"):
        preflight.check(configure(demo_dir, f"spo.store.url=sqlite:///{demo_dir}/nowhere/x.db"))
