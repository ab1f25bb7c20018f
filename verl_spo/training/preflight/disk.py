"""Room for the checkpoints that a run will write, as verl 0.9.1's managers write and remove them.

File names in the docstrings are of verl/utils/checkpoint.
"""

import shutil
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training import parallelism
from verl_spo.training.architecture import Architecture
from verl_spo.training.verl_options import checkpoint_folder, engine, weight_bytes

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
    actor = config.actor_rollout_ref.actor
    if engine(actor) not in ("megatron", "fsdp"):
        return f"actor_rollout_ref.actor.strategy={actor.strategy}: what this engine saves is not known here"
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
    """Bytes of one checkpoint of a dense model: what is listed in `actor.checkpoint.save_contents`, on all ranks."""
    if engine(config.actor_rollout_ref.actor) == "megatron":
        return _megatron_bytes(config, model)
    return _fsdp_bytes(config, model)


def _fsdp_bytes(config: DictConfig, model: Architecture) -> int:
    """Weights, with LoRA's, and the two moments of those that are trained, in the engine's type.

    Every rank writes its shards, also where `fsdp_size` repeats them (fsdp_checkpoint_manager.py:347); `hf_model` are
    the weights again, written by one (:462).
    """
    actor, options = config.actor_rollout_ref.actor, config.actor_rollout_ref.model
    adapters, contents = model.adapters(options.get("lora_rank") or 0), actor.checkpoint.save_contents
    whole, trained = model.parameters + adapters, adapters or model.parameters
    weights = trained if actor.checkpoint.get("save_lora_only") else whole
    shards = weights * ("model" in contents) + 2 * trained * ("optimizer" in contents)
    return weight_bytes(actor) * (_replicas(config) * shards + whole * ("hf_model" in contents))


def _megatron_bytes(config: DictConfig, model: Architecture) -> int:
    """Weights in the engine's type; of those that are trained main parameters and two moments in fp32.

    Weights are Megatron's shards under `use_dist_checkpointing`, otherwise, and as `hf_model`, Hugging Face's
    (megatron_checkpoint_manager.py:245), in whose place LoRA has its adapters, and these as shards too (:1248). The
    optimizer is megatron/core/optimizer/distrib_optimizer.py:942, or optimizer.py:797 where it is not distributed.
    """
    actor, contents = config.actor_rollout_ref.actor, config.actor_rollout_ref.actor.checkpoint.save_contents
    adapters = model.adapters((config.actor_rollout_ref.model.get("lora") or {}).get("rank") or 0)
    shards = "model" in contents and actor.megatron.use_dist_checkpointing
    exported = "hf_model" in contents or ("model" in contents and not shards)
    weights = (model.parameters + adapters) * shards + (2 * adapters or model.parameters) * exported
    return int(weight_bytes(actor) * weights + 3 * 4 * (adapters or model.parameters) * ("optimizer" in contents))


def _replicas(config: DictConfig) -> int:
    """Groups of ranks that have all shards (verl/workers/engine/fsdp/utils.py:47)."""
    size, gpus = config.actor_rollout_ref.actor.fsdp_config.fsdp_size, parallelism.of(config).gpus
    return max(1, gpus // int(size)) if size > 0 else 1


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
