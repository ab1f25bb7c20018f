"""Checkpoints that would fill the disk are found before the run."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from torch import multiprocessing

from tests.support import fsdp_saving
from tests.support.configured import configure
from tests.support.planned import tiny
from verl_spo.errors import ConfigError
from verl_spo.training import architecture
from verl_spo.training.architecture import Architecture
from verl_spo.training.preflight import disk

RECIPE = "qwen3_8b/spo_megatron"
ACTOR = "actor_rollout_ref.actor"
CHECKPOINT = f"{ACTOR}.checkpoint"
DIST = f"{ACTOR}.megatron.use_dist_checkpointing"
MODEL = "actor_rollout_ref.model"
LORA = f"{MODEL}.lora.rank=32"
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


@pytest.mark.parametrize(
    ("overrides", "numbers"),
    [
        ([], 3 * 4),
        ([f"{ACTOR}.fsdp_config.model_dtype=null"], 3 * 4),
        ([f"{ACTOR}.fsdp_config.model_dtype=bf16"], 3 * 2),
        ([f"{CHECKPOINT}.save_contents=[model]"], 4),
        ([f"{CHECKPOINT}.save_contents=[optimizer,extra]"], 2 * 4),
        ([f"{CHECKPOINT}.save_contents=[model,hf_model]"], 2 * 4),
        # Of eight GPUs four hold each half.
        ([f"{ACTOR}.fsdp_config.fsdp_size=2", f"{CHECKPOINT}.save_contents=[model,hf_model]"], 5 * 4),
    ],
)
def test_fsdp_saves_numbers_of_its_own_type(demo_dir: Path, overrides: list[str], numbers: int) -> None:
    config = configure(demo_dir, *overrides, recipe="qwen3_8b/spo_fsdp")
    assert disk.checkpoint_bytes(config, WORDS) == 110 * numbers


@pytest.mark.parametrize(
    ("overrides", "numbers"),
    [
        ([], 2 + 12),
        ([f"{CHECKPOINT}.save_contents=[model,extra]"], 2),
        ([f"{CHECKPOINT}.save_contents=[model,hf_model]"], 2),
        ([f"{CHECKPOINT}.save_contents=[optimizer]"], 12),
        ([f"{DIST}=True"], 2 + 12),
        ([f"{DIST}=True", f"{CHECKPOINT}.save_contents=[model,optimizer,hf_model]"], 2 + 2 + 12),
    ],
)
def test_megatron_saves_weights_in_16_bits_and_three_numbers_in_32(
    demo_dir: Path, overrides: list[str], numbers: int
) -> None:
    assert disk.checkpoint_bytes(configure(demo_dir, *overrides, recipe=RECIPE), WORDS) == 110 * numbers


@pytest.mark.parametrize(
    ("recipe", "overrides", "weights", "adapters"),
    [
        ("qwen3_0_6b/spo_fsdp_lora", [], 4, 3 * 4),
        ("qwen3_0_6b/spo_fsdp_lora", [f"{CHECKPOINT}.save_lora_only=True"], 0, 3 * 4),
        ("qwen3_0_6b/spo_megatron", [LORA], 0, 2 * 2 + 12),
        ("qwen3_0_6b/spo_megatron", [LORA, f"{DIST}=True"], 2, 2 + 12),
    ],
)
def test_of_adapters_alone_there_are_moments(
    demo_dir: Path, recipe: str, overrides: list[str], weights: int, adapters: int
) -> None:
    config = configure(demo_dir, *overrides, recipe=recipe)
    model = architecture.of(config)
    assert model is not None
    assert disk.checkpoint_bytes(config, model) == weights * model.parameters + adapters * model.adapters(32)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rank"), [("whole", 0), ("lora", fsdp_saving.RANK)])
def test_fsdp_writes_as_much_as_is_estimated(saved: Path, name: str, rank: int) -> None:
    overrides = (f"{CHECKPOINT}.save_contents=[model,optimizer,extra,hf_model]", f"{MODEL}.lora_rank={rank}")
    config = configure(saved, f"{MODEL}.path={saved}", *overrides, recipe="qwen3_8b/spo_fsdp")
    model = architecture.of(config)
    assert model is not None
    written = sum(file.stat().st_size for file in (saved / name).rglob("*") if file.is_file())
    assert written == pytest.approx(disk.checkpoint_bytes(config, model), rel=0.02)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    tiny(folder)
    multiprocessing.spawn(fsdp_saving.save, args=(folder,))
    return folder


def test_what_another_engine_saves_is_not_measured(demo_dir: Path) -> None:
    config = configure(demo_dir, f"{ACTOR}.strategy=veomni", recipe="qwen3_8b/spo_fsdp")
    assert disk.check(config, WORDS) == f"{ACTOR}.strategy=veomni: what this engine saves is not known here"


def test_a_model_of_experts_is_not_measured(demo_dir: Path) -> None:
    assert disk.check(configure(demo_dir), Architecture(experts=8)) == "the size of this model is not known here"
