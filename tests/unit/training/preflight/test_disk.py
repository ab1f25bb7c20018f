"""Checkpoints that would fill the disk are found before the run."""

from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.training import architecture
from verl_spo.training.architecture import Architecture
from verl_spo.training.preflight import disk

RECIPE = "qwen3_8b/spo_megatron"


def test_too_little_room_is_refused(demo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = f"trainer.default_local_dir={demo_dir}/not/there"
    config = configure(demo_dir, folder, "trainer.max_actor_ckpt_to_keep=2", recipe=RECIPE)
    model = architecture.of(config)
    assert model is not None
    gib = 2**30
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 200 * gib}))
    with pytest.raises(ConfigError, match=r"not/there: 200.0 GiB are free, and 2 checkpoints of 106.8 GiB are kept"):
        disk.check(config, model)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 220 * gib}))
    assert disk.check(config, model) is None


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (["trainer.max_actor_ckpt_to_keep=2"], 2),
        (["trainer.max_actor_ckpt_to_keep=null"], 10),
        (["trainer.max_actor_ckpt_to_keep=2", "trainer.save_freq=-1"], 1),
    ],
)
def test_as_many_as_are_kept_count(demo_dir: Path, overrides: list[str], count: int) -> None:
    saved = ("trainer.save_freq=20", "trainer.total_training_steps=200")
    assert disk.kept(configure(demo_dir, *saved, *overrides, recipe=RECIPE)) == count


def test_fsdp_saves_three_numbers_of_its_own_type(demo_dir: Path) -> None:
    model = Architecture(vocabulary=10, hidden=10, tied=True)
    full, half = (
        disk.checkpoint_bytes(
            configure(demo_dir, f"actor_rollout_ref.actor.fsdp_config.model_dtype={kind}", recipe="qwen3_8b/spo_fsdp"),
            model,
        )
        for kind in ("fp32", "bf16")
    )
    assert (full, half) == (110 * 12, 110 * 6)


def test_a_model_of_experts_is_not_measured(demo_dir: Path) -> None:
    assert disk.check(configure(demo_dir), Architecture(experts=8)) == "the size of this model is not known here"
