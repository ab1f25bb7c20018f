"""Bad input is found before any worker starts, and the message says what would be right."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig

from verl_spo.errors import CheckpointError, ConfigError, DataError, StoreError
from verl_spo.training import checkpoint, preflight, recipe

RECIPE = "cpu/arithmetic_spo"


def row(content: str | None = "1+1", truth: str | None = "2") -> dict:
    return {
        "data_source": "arithmetic",
        "prompt": [{"role": "user", "content": content}] if content else [],
        "reward_model": {"style": "rule", "ground_truth": truth},
    }


@pytest.fixture
def demo_dir(tmp_path: Path) -> Path:
    """What the recipe wants to find, as small as it may be."""
    (tmp_path / "data").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    for name in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist([row(), row("1+2", "3")]), tmp_path / "data" / f"{name}.parquet")
    return tmp_path


def configure(demo_dir: Path, *overrides: str) -> DictConfig:
    return recipe.load(RECIPE, [f"demo_dir={demo_dir}", *overrides])


def test_the_recipe_passes_as_it_is(demo_dir: Path) -> None:
    preflight.check(configure(demo_dir))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["spo.epsilon=-1"], "spo.epsilon=-1.0: must be at least 0"),
        (["spo.retention=forever"], "spo.retention='forever'"),
        (["trainer.use_v1=False"], "trainer.use_v1=False"),
        (["trainer.v1.trainer_mode=sync"], "trainer.v1.trainer_mode='sync': must be one of spo_sync"),
        (["algorithm.adv_estimator=grpo"], "algorithm.adv_estimator='grpo'"),
        (["actor_rollout_ref.rollout.n=8"], "actor_rollout_ref.rollout.n=8: SPO draws one response a prompt; set 1"),
        (["algorithm.use_kl_in_reward=True"], "algorithm.use_kl_in_reward=True"),
        (["+algorithm.filter_groups.enable=True"], "algorithm.filter_groups.enable=True"),
        (
            ["spo.retention=drift", "actor_rollout_ref.actor.policy_loss.loss_mode=vanilla"],
            "actor_rollout_ref.actor.policy_loss.loss_mode='vanilla'",
        ),
        (
            ["spo.retention=drift", "actor_rollout_ref.actor.ppo_mini_batch_size=128"],
            "actor_rollout_ref.actor.ppo_mini_batch_size=128: spo.retention=drift needs at least 2 updates a step; "
            "set at most 64",
        ),
        (
            ["trainer.v1.trainer_mode=spo_separate_async", "trainer.v1.separate_async.parameter_sync_step=4"],
            "data.train_batch_size=128: trainer.v1.trainer_mode=spo_separate_async trains on "
            "trainer.v1.separate_async.parameter_sync_step=4 parts of actor_rollout_ref.actor.ppo_mini_batch_size=64 "
            "prompts; set 256",
        ),
        (["trainer.critic_warmup=5"], "trainer.critic_warmup=5: SPO has no critic to warm up; set 0"),
        (
            ["algorithm.rollout_correction.bypass_mode=True"],
            "algorithm.rollout_correction.bypass_mode=True: spo.retention=kl compares log-probs",
        ),
        (
            ["algorithm.rollout_correction.bypass_mode=True", "spo.retention=event", "spo.baseline=optimal"],
            "algorithm.rollout_correction.bypass_mode=True: spo.baseline=optimal compares log-probs",
        ),
        (
            ["spo.init=rollouts", "reward.reward_model.enable=True"],
            "reward.reward_model.enable_resource_pool=False: spo.init=rollouts wants rewards while it generates",
        ),
    ],
)
def test_contradicting_options_are_refused(demo_dir: Path, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preflight.check(configure(demo_dir, *overrides))
    assert expected in str(caught.value)


def test_an_unknown_option_does_not_compose(demo_dir: Path) -> None:
    with pytest.raises(ConfigError, match="epsilom"):
        configure(demo_dir, "spo.epsilom=0.1")
    with pytest.raises(ConfigError, match=r"spo\.epsilom: no such option"):
        preflight.check(configure(demo_dir, "+spo.epsilom=0.1"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "the file has no rows"),
        ([row(), row(None)], "1 rows have no prompt; the first is row 1"),
        ([row(truth=None), row()], "1 rows have no reward_model.ground_truth; the first is row 0"),
        ([row(truth="")], "1 rows have no reward_model.ground_truth; the first is row 0"),
        ([{"question": "1+1"}], "no column 'prompt'; it has question"),
    ],
)
def test_unusable_rows_are_counted_and_the_first_is_named(demo_dir: Path, rows: list, expected: str) -> None:
    schema = pa.Table.from_pylist([row()]).schema if not rows else None
    file = demo_dir / "data" / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    with pytest.raises(DataError) as caught:
        preflight.check(configure(demo_dir))
    assert str(caught.value) == f"data.train_files={file}: {expected}"


def test_a_missing_file_is_named(demo_dir: Path) -> None:
    (demo_dir / "data" / "validation.parquet").unlink()
    with pytest.raises(DataError, match=r"data.val_files=.*validation.parquet: no such file"):
        preflight.check(configure(demo_dir))


def test_a_model_folder_without_a_model_is_refused(demo_dir: Path) -> None:
    shutil.rmtree(demo_dir / "model")
    with pytest.raises(DataError, match=r"actor_rollout_ref.model.path=.*: no model folder"):
        preflight.check(configure(demo_dir))


def test_a_database_that_cannot_be_written_is_refused(demo_dir: Path) -> None:
    with pytest.raises(StoreError, match="its folder does not exist"):
        preflight.check(configure(demo_dir, f"spo.store.url=sqlite:///{demo_dir}/nowhere/x.db"))


def test_a_checkpoint_of_another_run_is_refused(demo_dir: Path) -> None:
    folder = demo_dir / "checkpoints" / "spo" / "global_step_7"
    identity = checkpoint.Identity("uid", "arithmetic/other", "00")
    checkpoint.save(folder, checkpoint.Checkpoint(identity, 7, {}, {}))
    (folder.parent / "latest_checkpointed_iteration.txt").write_text("7")
    with pytest.raises(CheckpointError, match="belongs to run 'arithmetic/other'"):
        preflight.check(configure(demo_dir))
    preflight.check(configure(demo_dir, "trainer.resume_mode=disable"))


def test_a_checkpoint_that_is_gone_is_refused(demo_dir: Path) -> None:
    root = demo_dir / "checkpoints" / "spo"
    root.mkdir(parents=True)
    (root / "latest_checkpointed_iteration.txt").write_text("9")
    with pytest.raises(CheckpointError, match="global_step_9: no such checkpoint"):
        preflight.check(configure(demo_dir))


def test_what_a_run_starts_from_must_be_there(demo_dir: Path) -> None:
    with pytest.raises(DataError, match=r"spo.init_file: .*scores.json: no such file of scores"):
        preflight.check(configure(demo_dir, "spo.init=file", f"spo.init_file={demo_dir}/scores.json"))
    with pytest.raises(StoreError, match=r"spo.init_run: run 'math/old': not in .*it has no runs yet"):
        preflight.check(configure(demo_dir, "spo.init=run", "spo.init_run=math/old"))


def test_a_resumed_run_needs_no_longer_what_it_started_from(demo_dir: Path) -> None:
    folder = demo_dir / "checkpoints" / "spo" / "global_step_7"
    identity = checkpoint.Identity("uid", "arithmetic/spo", "00")
    checkpoint.save(folder, checkpoint.Checkpoint(identity, 7, {}, {}))
    (folder.parent / "latest_checkpointed_iteration.txt").write_text("7")
    preflight.check(configure(demo_dir, "spo.init=file", "spo.init_file=gone.json"))


@pytest.mark.parametrize(
    ("mode", "prompts", "expected"),
    [
        ("sync", 64, "without replacement, which takes 128 distinct prompts, but the pool has only 64; set less, or"),
        ("colocate_async", 255, "and trainer.v1.colocate_async.num_warmup_batches=1 more run ahead, which takes 256"),
    ],
)
def test_a_pool_that_is_too_small_is_refused(demo_dir: Path, mode: str, prompts: int, expected: str) -> None:
    config = configure(demo_dir, f"trainer.v1.trainer_mode=spo_{mode}")
    with pytest.raises(ConfigError, match=r"data.train_batch_size=128: ") as caught:
        preflight.check_pool_size(prompts, config)
    assert expected in str(caught.value)
    preflight.check_pool_size(256, config)


def test_a_part_of_a_batch_may_run_ahead(demo_dir: Path) -> None:
    options = ("trainer.v1.trainer_mode=spo_colocate_async", "trainer.v1.colocate_async.num_warmup_batches=0.29")
    config = configure(demo_dir, *options, "data.train_batch_size=100")
    preflight.check_pool_size(128, config)
    with pytest.raises(ConfigError, match="which takes 128 distinct prompts"):
        preflight.check_pool_size(127, config)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"recipe 'cpu/nothing': no such recipe; there are cpu/arithmetic_grpo"):
        recipe.load("cpu/nothing", [])


@pytest.mark.parametrize("value", ["/a b/c", "it's", "x=y,z", "/tmp/[1]{2}(3)", "back\\slash", "$HOME"])
def test_any_text_can_be_an_override(demo_dir: Path, value: str) -> None:
    assert configure(demo_dir, recipe.override("trainer.experiment_name", value)).trainer.experiment_name == value


def test_a_recipe_may_be_a_file(demo_dir: Path) -> None:
    mine = demo_dir / "mine.yaml"
    mine.write_text("# @package _global_\ndefaults:\n  - /cpu/arithmetic_spo\n  - _self_\nspo:\n  epsilon: 0.2\n")
    config = recipe.load(str(mine), [f"demo_dir={demo_dir}"])
    assert preflight.spo_config(config).epsilon == 0.2
