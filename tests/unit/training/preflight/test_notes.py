"""Options of verl's that do not do under SPO what they say are named once, with what holds instead."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.configured import configure, row
from verl_spo.training.preflight import notes
from verl_spo.training.verl_options import spo_config


def notes_of(demo_dir: Path, *overrides: str) -> list[str]:
    config = configure(demo_dir, *overrides)
    return notes.notes(config, spo_config(config))


def test_the_recipe_as_it_is_needs_no_note(demo_dir: Path) -> None:
    assert notes_of(demo_dir) == []


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("data.shuffle=False", "prompts are drawn from the whole pool by spo.sampling"),
        ("data.seed=7", "prompts are drawn from the whole pool by spo.seed"),
        ("data.gen_batch_size=64", "prompts are drawn one data.train_batch_size at a time"),
        ("algorithm.gamma=0.9", "an advantage is a trajectory's"),
        ("algorithm.lam=0.9", "an advantage is a trajectory's"),
        ("algorithm.norm_adv_by_std_in_grpo=False", "spo.normalization says"),
        ("algorithm.use_pf_ppo=True", "spo.sampling weighs prompts"),
        ("trainer.default_hdfs_dir=hdfs://x", "a resume also needs SPO's state"),
        ("actor_rollout_ref.actor.clip_ratio_c=3.0", "[SPO] sets 10"),
    ],
)
def test_an_option_is_named_with_its_value_and_what_holds_instead(demo_dir: Path, option: str, instead: str) -> None:
    (note,) = notes_of(demo_dir, option)
    assert note.startswith(f"{option}: ")
    assert instead in note


def test_token_normalization_wants_a_token_mean_loss(demo_dir: Path) -> None:
    mode = "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean"
    assert notes_of(demo_dir, mode) == []
    (note,) = notes_of(demo_dir, mode, "spo.normalization=token")
    assert note.startswith(f"{mode}: spo.normalization=token makes the advantages' mean zero for token-mean")


def test_another_loss_has_another_clip(demo_dir: Path) -> None:
    assert (
        notes_of(
            demo_dir, "actor_rollout_ref.actor.clip_ratio_c=3", "actor_rollout_ref.actor.policy_loss.loss_mode=gspo"
        )
        == []
    )


def test_epochs_that_say_when_to_stop_are_named(demo_dir: Path) -> None:
    (note,) = notes_of(demo_dir, "trainer.total_training_steps=null", "trainer.total_epochs=30")
    assert note.startswith("trainer.total_epochs=30: an epoch is as many steps as there are rows for")


@pytest.mark.parametrize(("epochs", "noted"), [(3, True), (4, False)])
def test_epochs_that_end_a_run_before_its_steps_are_named(demo_dir: Path, epochs: int, noted: bool) -> None:
    pq.write_table(pa.Table.from_pylist([row()] * 11), demo_dir / "data" / "train.parquet")
    options = ("data.train_batch_size=1", "trainer.total_training_steps=40", f"trainer.total_epochs={epochs}")
    expected = "trainer.total_epochs=3: 11 rows end it after 33 steps, before trainer.total_training_steps=40; set more"
    assert notes_of(demo_dir, *options) == ([expected] if noted else [])


def test_all_notes_are_one_message(demo_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes.log(configure(demo_dir, "data.seed=7", "data.shuffle=False"))
    (record,) = caplog.records
    assert record.getMessage().splitlines()[0] == "verl's options under SPO:"
    assert len(record.getMessage().splitlines()) == 3


def test_what_the_launcher_has_said_is_not_said_again(
    demo_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notes.SAID, "1")
    notes.log(configure(demo_dir, "data.seed=7"))
    assert caplog.records == []


@pytest.mark.parametrize("folder", ["checkpoints/mine", "/tmp/mine"])
def test_a_folder_that_nodes_do_not_share_is_named(demo_dir: Path, folder: str) -> None:
    own = f"trainer.default_local_dir={folder}"
    assert notes_of(demo_dir, own) == []
    (note,) = notes_of(demo_dir, own, "trainer.nnodes=2")
    assert note.startswith(f"{own}: must be one folder for all nodes")
    assert notes_of(demo_dir, "trainer.default_local_dir=/mnt/shared/mine", "trainer.nnodes=2") == []


@pytest.mark.parametrize(
    "schedule", ["lr_warmup_steps=10", "lr_warmup_steps_ratio=0.1", "lr_decay_style=cosine", "lr_decay_style=constant"]
)
def test_a_schedule_that_megatron_would_begin_anew_is_named(schedule: str) -> None:
    optim = "actor_rollout_ref.actor.optim"
    data = [f"data.{split}=x.parquet" for split in ("train_files", "val_files")]

    def found(restored: bool) -> list[str]:
        overrides = (f"{optim}.{schedule}", f"{optim}.use_checkpoint_opt_param_scheduler={restored}", *data)
        config = configure(Path(), *overrides, "data.custom_cls.path=own.py", recipe="qwen3_8b/spo_megatron")
        return [note for note in notes.notes(config, spo_config(config)) if "schedule" in note]

    assert found(restored=True) == []
    expected = (
        [] if schedule.endswith("constant") else [f"{optim}.use_checkpoint_opt_param_scheduler=False: a resume b"]
    )
    assert [note[: len(line)] for note, line in zip(found(restored=False), expected, strict=True)] == expected
