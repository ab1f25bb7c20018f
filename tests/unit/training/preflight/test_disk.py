"""Checkpoints that would fill the disk are found before the run."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.training import architecture
from verl_spo.training.architecture import Architecture
from verl_spo.training.preflight import disk

RECIPE = "qwen3_8b/spo_megatron"
ACTOR = "actor_rollout_ref.actor"
CHECKPOINT = f"{ACTOR}.checkpoint"
KEEP = "trainer.max_actor_ckpt_to_keep"
SAVED = ("trainer.save_freq=20", "trainer.total_training_steps=200")
WORDS = Architecture(vocabulary=10, hidden=10, tied=True)
"""110 parameters."""
GIB = 2**30


def test_too_little_room_is_refused(demo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"trainer.default_local_dir={demo_dir}/not/there"
    config = configure(demo_dir, folder, "trainer.max_actor_ckpt_to_keep=2", recipe=RECIPE)
    model = architecture.of(config)
    assert model is not None
    has_free(monkeypatch, 200 * GIB)
    with pytest.raises(
        ConfigError,
        match=r"not/there: 200.0 GiB are free, and 2 more checkpoints of 106.8 GiB .*max_actor_ckpt_to_keep=2\); keep",
    ):
        disk.check(config, model)
    has_free(monkeypatch, 220 * GIB)
    assert disk.check(config, model) is None


def has_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        ([f"{KEEP}=2"], 2),
        # The only one is removed when the next is there.
        ([f"{KEEP}=1"], 2),
        ([f"{KEEP}=3", "trainer.remove_previous_ckpt_in_save=True"], 2),
        ([f"{KEEP}=2", f"{CHECKPOINT}.async_save=True"], 3),
        ([f"{KEEP}=null"], 10),
        # The last step is saved too.
        ([f"{KEEP}=null", "trainer.total_training_steps=201"], 11),
        ([f"{KEEP}=3", "trainer.total_training_steps=30"], 2),
        ([f"{KEEP}=3", "trainer.total_training_steps=null"], 3),
        ([f"{KEEP}=2", "trainer.save_freq=-1"], 1),
    ],
)
def test_as_many_count_as_are_there_at_a_time(demo_dir: Path, overrides: list[str], count: int) -> None:
    assert disk.kept(configure(demo_dir, *SAVED, *overrides, recipe=RECIPE)) == count


def test_a_resumed_run_has_written_some_already(demo_dir: Path) -> None:
    (demo_dir / "latest_checkpointed_iteration.txt").write_text("180")
    overrides = (*SAVED, f"{KEEP}=null", f"trainer.default_local_dir={demo_dir}")
    assert disk.kept(configure(demo_dir, *overrides, recipe=RECIPE)) == 1
    assert disk.kept(configure(demo_dir, *overrides, "trainer.resume_mode=disable", recipe=RECIPE)) == 10


def test_a_run_that_branches_begins_at_its_parents_step(demo_dir: Path) -> None:
    overrides = (*SAVED, f"{KEEP}=null", "spo.branch_from=/parent/global_step_100")
    assert disk.kept(configure(demo_dir, *overrides, recipe=RECIPE)) == 5


@pytest.mark.parametrize(("step", "refused"), [(20, False), (200, True)])
def test_files_that_are_written_over_are_room(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch, step: int, refused: bool
) -> None:
    overrides = (*SAVED, f"{KEEP}=2", f"trainer.default_local_dir={demo_dir}")
    torn = demo_dir / f"global_step_{step}" / "actor" / "model.pt"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(bytes(1000))
    has_free(monkeypatch, 2 * 110 * 14 - 1000)
    with pytest.raises(ConfigError) if refused else nullcontext():
        assert disk.check(configure(demo_dir, *overrides, recipe=RECIPE), WORDS) is None


def test_fsdp_saves_three_numbers_of_its_own_type(demo_dir: Path) -> None:
    full, half = (
        disk.checkpoint_bytes(
            configure(demo_dir, f"actor_rollout_ref.actor.fsdp_config.model_dtype={kind}", recipe="qwen3_8b/spo_fsdp"),
            WORDS,
        )
        for kind in ("fp32", "bf16")
    )
    assert (full, half) == (110 * 12, 110 * 6)


def test_a_model_of_experts_is_not_measured(demo_dir: Path) -> None:
    assert disk.check(configure(demo_dir), Architecture(experts=8)) == "the size of this model is not known here"
