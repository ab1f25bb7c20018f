"""Room for the checkpoints that a run will keep."""

import shutil
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training.architecture import Architecture
from verl_spo.training.verl_options import engine

_GIB = 2**30


def check(config: DictConfig, model: Architecture) -> str | None:
    """Hold the checkpoints against what is free where they go.

    Returns:
        Why it was not checked; None where it was.

    Raises:
        ConfigError: They will not fit.
    """
    if model.experts or not model.hidden:
        return "the size of this model is not known here"
    count, size, folder = kept(config), checkpoint_bytes(config, model), config.trainer.default_local_dir
    place = Path(folder).absolute()
    free = shutil.disk_usage(next(each for each in (place, *place.parents) if each.is_dir())).free
    if count * size > free:
        raise ConfigError(
            f"trainer.default_local_dir={folder}: {free / _GIB:.1f} GiB are free, and {count} "
            f"checkpoints of {size / _GIB:.1f} GiB are kept; lower trainer.max_actor_ckpt_to_keep, or move it"
        )
    return None


def kept(config: DictConfig) -> int:
    """Checkpoints on disk at the same time; at least one, which a signal asks for."""
    trainer, limit = config.trainer, config.trainer.max_actor_ckpt_to_keep
    if trainer.save_freq <= 0:
        return 1
    if limit is not None:
        return int(limit)
    return max(1, int((trainer.total_training_steps or 0) // trainer.save_freq))


def checkpoint_bytes(config: DictConfig, model: Architecture) -> int:
    """Weights and optimizer: Megatron's are bf16 with three fp32 numbers a parameter, FSDP's three of its own type."""
    actor = config.actor_rollout_ref.actor
    if engine(actor) == "megatron":
        per_parameter = 2 + 3 * 4
    else:
        per_parameter = 3 * (4 if actor.fsdp_config.model_dtype in ("fp32", "float32") else 2)
    return per_parameter * model.parameters
