"""Room for the checkpoints that a run will write, as verl 0.9.1's managers write and remove them.

File names in the docstrings are of verl/utils/checkpoint.
"""

import shutil
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training.architecture import Architecture
from verl_spo.training.verl_options import checkpoint_folder, engine

_GIB = 2**30


def check(config: DictConfig, model: Architecture) -> str | None:
    """Hold the checkpoints that are still to be written against what is free where they go.

    Returns:
        Why it was not checked; None where it was.

    Raises:
        ConfigError: They will not fit.
    """
    if model.experts or not model.hidden:
        return "the size of this model is not known here"
    count, size, trainer = kept(config), checkpoint_bytes(config, model), config.trainer
    free = _free(Path(trainer.default_local_dir).absolute(), _steps(config)[:count])
    if count * size > free:
        raise ConfigError(
            f"trainer.default_local_dir={trainer.default_local_dir}: {free / _GIB:.1f} GiB are free, and {count} more "
            f"checkpoints of {size / _GIB:.1f} GiB will be there at a time (trainer.max_actor_ckpt_to_keep="
            f"{trainer.max_actor_ckpt_to_keep}); keep fewer, free the disk, or move the folder"
        )
    return None


def kept(config: DictConfig) -> int:
    """Checkpoints of this start on disk at the same time, with the one being written; a signal asks for at least one.

    Of those that it wrote itself a start removes the oldest before it writes (checkpoint_manager.py:166), but after
    where it keeps one alone, or Megatron writes while training goes on (megatron_checkpoint_manager.py:1199). Those of
    an earlier start it does not know, and leaves (checkpoint_manager.py:59).
    """
    written, limit, actor = max(1, len(_steps(config))), _limit(config), config.actor_rollout_ref.actor
    afterwards = limit == 1 or (engine(actor) == "megatron" and actor.checkpoint.async_save)
    return min(written, limit + afterwards) if limit else written


def checkpoint_bytes(config: DictConfig, model: Architecture) -> int:
    """Weights and optimizer: Megatron's are bf16 with three fp32 numbers a parameter, FSDP's three of its own type."""
    actor = config.actor_rollout_ref.actor
    if engine(actor) == "megatron":
        per_parameter = 2 + 3 * 4
    else:
        per_parameter = 3 * (4 if actor.fsdp_config.model_dtype in ("fp32", "float32") else 2)
    return per_parameter * model.parameters


def _limit(config: DictConfig) -> int:
    """How many checkpoints verl keeps; 0: all (verl/trainer/ppo/v1/trainer_base.py:964)."""
    trainer = config.trainer
    return 1 if trainer.get("remove_previous_ckpt_in_save") else int(trainer.max_actor_ckpt_to_keep or 0)


def _steps(config: DictConfig) -> list[int]:
    """Steps that will be saved: every `save_freq`, and the last (verl/trainer/ppo/v1/trainer_base.py:481).

    Where no option says which is the last, as many as verl keeps and one more.
    """
    trainer, every = config.trainer, config.trainer.save_freq
    if every <= 0:
        return []
    begin = _begin(config)
    last = trainer.total_training_steps or begin + every * (_limit(config) + 1)
    return [step for step in range(begin + 1, last + 1) if step % every == 0 or step == last]


def _begin(config: DictConfig) -> int:
    """The step after which the run goes on: that of the checkpoint that it starts from."""
    folder = checkpoint_folder(config)
    number = folder.name.removeprefix("global_step_") if folder else ""
    return int(number) if number.isdigit() else 0


def _free(folder: Path, steps: list[int]) -> int:
    """Bytes for checkpoints of these steps: where one was begun but is not resumed from, its files are written over."""
    files = (file for step in steps for file in (folder / f"global_step_{step}").rglob("*") if file.is_file())
    disk = next(each for each in (folder, *folder.parents) if each.is_dir())
    return shutil.disk_usage(disk).free + sum(file.stat().st_size for file in files)
