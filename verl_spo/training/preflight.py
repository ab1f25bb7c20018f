"""What must hold before any worker starts: every check names the option, its value and the remedy.

`verl-spo train` runs them before Ray starts; the trainer runs them again, for those who call verl themselves.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from omegaconf import DictConfig, OmegaConf

from verl_spo.config import ADVANTAGE_ESTIMATOR, TRAINER_MODES, SPOConfig
from verl_spo.data.scores import read_scores
from verl_spo.errors import ConfigError, DataError, StoreError
from verl_spo.store import open_reader, queries
from verl_spo.store.engine import check_writable
from verl_spo.training import checkpoint, policy_loss

FILE_FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json"}


def spo_config(config: DictConfig) -> SPOConfig:
    """The validated `spo` group of a verl config; all defaults where the group is absent."""
    return SPOConfig.from_mapping(plain(config.get("spo")) if config.get("spo") else {})


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as plain values, interpolations resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def run_name(config: DictConfig) -> str:
    """Name of the run in the store and in checkpoints."""
    return f"{config.trainer.project_name}/{config.trainer.experiment_name}"


def check(config: DictConfig) -> None:
    """Run every check that needs no worker.

    Raises:
        ConfigError: Options contradict each other.
        DataError: A data file or model folder is missing, empty or lacks what SPO needs.
        StoreError: The database cannot be used.
        CheckpointError: The checkpoint to resume from is not this run's.
    """
    spo = spo_config(config)
    _check_mode(config)
    _check_algorithm(config)
    _check_parts(config)
    _check_old_log_probs(config, spo)
    _check_drift(config, spo)
    for split in ("train_files", "val_files"):
        _check_files(config, split)
    _check_model(config)
    check_writable(spo.store.url)
    if (folder := checkpoint_folder(config)) is None:
        _check_init(config, spo)
    else:
        checkpoint.check(folder, run_name(config))


def check_pool_size(prompts: int, config: DictConfig) -> None:
    """Prompts are drawn without replacement: the pool must hold all that are in flight at once."""
    batch_size, mode = config.data.train_batch_size, config.trainer.v1.trainer_mode.removeprefix("spo_")
    warmup = float((config.trainer.v1.get(mode) or {}).get("num_warmup_batches", 0))
    needed = batch_size + math.floor(warmup * batch_size)
    if prompts < needed:
        ahead = f" and trainer.v1.{mode}.num_warmup_batches={warmup:g} more run ahead" if warmup else ""
        raise ConfigError(
            f"data.train_batch_size={batch_size}: a batch is drawn without replacement{ahead}, which takes {needed} "
            f"distinct prompts, but the pool has only {prompts}; set less, or add data"
        )


def checkpoint_folder(config: DictConfig) -> Path | None:
    """The `global_step_N` folder that verl will resume from, as verl decides it (trainer_base.py:854)."""
    mode, root = config.trainer.resume_mode, Path(config.trainer.default_local_dir)
    if mode == "resume_path":
        return Path(config.trainer.resume_from_path)
    latest = root / "latest_checkpointed_iteration.txt"
    if mode != "auto" or not latest.is_file():
        return None
    return root / f"global_step_{int(latest.read_text())}"


def _check_mode(config: DictConfig) -> None:
    mode, advantages = config.trainer.v1.trainer_mode, config.algorithm.adv_estimator
    if not config.trainer.use_v1:
        raise ConfigError("trainer.use_v1=False: SPO plugs into verl's V1 trainer; set trainer.use_v1=True")
    if mode not in TRAINER_MODES:
        raise ConfigError(f"trainer.v1.trainer_mode={mode!r}: must be one of {', '.join(TRAINER_MODES)}")
    if advantages != ADVANTAGE_ESTIMATOR:
        raise ConfigError(
            f"algorithm.adv_estimator={advantages!r}: trainer.v1.trainer_mode={mode} computes SPO's; set spo"
        )


def _check_algorithm(config: DictConfig) -> None:
    responses = config.actor_rollout_ref.rollout.n
    if responses != 1:
        raise ConfigError(f"actor_rollout_ref.rollout.n={responses}: SPO draws one response a prompt; set 1")
    if config.algorithm.use_kl_in_reward:
        raise ConfigError(
            "algorithm.use_kl_in_reward=True: the value tracker estimates success, not reward less KL; set False "
            "(actor_rollout_ref.actor.use_kl_loss=True keeps the policy near the reference)"
        )
    if config.trainer.critic_warmup > 0:
        raise ConfigError(f"trainer.critic_warmup={config.trainer.critic_warmup}: SPO has no critic to warm up; set 0")
    groups = config.algorithm.get("filter_groups")
    if groups is not None and groups.enable:
        raise ConfigError(
            "algorithm.filter_groups.enable=True: SPO has no groups; set False (spo.value_range passes over prompts)"
        )


def _check_parts(config: DictConfig) -> None:
    """verl checks this too, in a worker (trainer_separate_async.py:60)."""
    if config.trainer.v1.trainer_mode != "spo_separate_async":
        return
    parts = config.trainer.v1.separate_async.parameter_sync_step
    mini_batch = config.actor_rollout_ref.actor.ppo_mini_batch_size
    if config.data.train_batch_size != parts * mini_batch:
        raise ConfigError(
            f"data.train_batch_size={config.data.train_batch_size}: trainer.v1.trainer_mode=spo_separate_async trains "
            f"on trainer.v1.separate_async.parameter_sync_step={parts} parts of "
            f"actor_rollout_ref.actor.ppo_mini_batch_size={mini_batch} prompts; set {parts * mini_batch}"
        )


def _check_old_log_probs(config: DictConfig, spo: SPOConfig) -> None:
    """In verl's bypass mode they are the rollout engine's, of whatever policy generated (trainer_base.py:1640)."""
    correction = config.algorithm.get("rollout_correction")
    if not (correction and correction.get("bypass_mode", False)):
        return
    for option, value in (("retention", spo.retention), ("baseline", spo.baseline)):
        if value in ("kl", "drift", "optimal"):
            raise ConfigError(
                f"algorithm.rollout_correction.bypass_mode=True: spo.{option}={value} compares log-probs of the "
                "trainer's policy, which this mode leaves out; set False, or spo.retention=event and spo.baseline=value"
            )


def _check_init(config: DictConfig, spo: SPOConfig) -> None:
    """What a run starts from must be there."""
    match spo.init:
        case "file":
            with _naming("spo.init_file"):
                read_scores(str(spo.init_file))
        case "run":
            with _naming("spo.init_run"), open_reader(spo.store.url) as reader:
                queries.run(reader, str(spo.init_run))
        case "rollouts":
            reward_model = config.reward.reward_model
            if reward_model.enable and not reward_model.enable_resource_pool:
                raise ConfigError(
                    "reward.reward_model.enable_resource_pool=False: spo.init=rollouts wants rewards while it "
                    "generates; set True, or another spo.init"
                )


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Put the option before what is said of its value."""
    try:
        yield
    except (DataError, StoreError) as error:
        raise type(error)(f"{option}: {error}") from error


def _check_drift(config: DictConfig, spo: SPOConfig) -> None:
    if spo.retention != "drift":
        return
    actor, batch = config.actor_rollout_ref.actor, config.data.train_batch_size
    if actor.policy_loss.loss_mode != policy_loss.NAME:
        raise ConfigError(
            f"actor_rollout_ref.actor.policy_loss.loss_mode={actor.policy_loss.loss_mode!r}: spo.retention=drift reads "
            f"the policy's change from the loss; set {policy_loss.NAME} (verl's PPO-clip and that measurement)"
        )
    if batch // actor.ppo_mini_batch_size * actor.ppo_epochs < 2:
        raise ConfigError(
            f"actor_rollout_ref.actor.ppo_mini_batch_size={actor.ppo_mini_batch_size}: spo.retention=drift needs at "
            f"least 2 updates a step; set at most {batch // 2} (data.train_batch_size={batch}), or spo.retention=event"
        )


def _check_files(config: DictConfig, split: str) -> None:
    files = config.data[split]
    for name in [files] if isinstance(files, str) else list(files or []):
        _check_file(f"data.{split}", Path(name).expanduser(), config.data.prompt_key)
    if not files:
        raise DataError(f"data.{split}={files!r}: must name at least one file")


def _check_file(option: str, path: Path, prompt_key: str) -> None:
    if "://" in str(path):
        return
    if not path.is_file():
        raise DataError(f"{option}={path}: no such file")
    if path.suffix not in FILE_FORMATS:
        raise DataError(f"{option}={path}: verl reads {', '.join(FILE_FORMATS)} files")
    data = ds.dataset(path, format=FILE_FORMATS[path.suffix])
    for column in (prompt_key, "data_source", "reward_model"):
        if column not in data.schema.names:
            raise DataError(f"{option}={path}: no column {column!r}; it has {', '.join(data.schema.names)}")
    table = data.to_table(columns=[prompt_key, "reward_model"])
    if table.num_rows == 0:
        raise DataError(f"{option}={path}: the file has no rows")
    _check_column(option, path, "prompt", pc.list_value_length(table[prompt_key]))
    truths = pc.struct_field(table["reward_model"], "ground_truth")
    _check_column(option, path, "reward_model.ground_truth", pc.utf8_length(pc.cast(truths, pa.string())))


def _check_column(option: str, path: Path, what: str, lengths: Any) -> None:
    empty = pc.equal(pc.fill_null(lengths, 0), 0)
    if rows := pc.sum(empty).as_py():
        first = pc.index(empty, True).as_py()
        raise DataError(f"{option}={path}: {rows} rows have no {what}; the first is row {first}")


def _check_model(config: DictConfig) -> None:
    """Only a path can be checked here; a name is the hub's."""
    model = str(config.actor_rollout_ref.model.path)
    looks_local = model.startswith((".", "/", "~")) or Path(model).exists()
    if looks_local and not (Path(model).expanduser() / "config.json").is_file():
        raise DataError(f"actor_rollout_ref.model.path={model}: no model folder (no config.json in it)")
