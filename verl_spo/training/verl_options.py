"""What a configuration of verl says, where more than one module asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from verl_spo.config import ADVANTAGE_ESTIMATOR, EvaluationConfig, SPOConfig
from verl_spo.training.agent_loop_names import SINGLE_TURN
from verl_spo.training.launcher import EVALUATES

FILE_FORMATS = (".parquet", ".json", ".jsonl")
"""What verl reads (verl/utils/dataset/rl_dataset.py:173)."""


def spo_config(config: DictConfig) -> SPOConfig:
    """The validated `spo` group of a verl config; all defaults where the group is absent."""
    return SPOConfig.from_mapping(plain(config.get("spo")) if config.get("spo") else {})


def evaluation_config(config: DictConfig) -> EvaluationConfig:
    """The validated `evaluation` group of a verl config; all defaults where the group is absent."""
    return EvaluationConfig.from_mapping(plain(config.get("evaluation")) if config.get("evaluation") else {})


def is_spo(config: DictConfig) -> bool:
    """Whether a recipe trains with SPO; others, such as a GRPO baseline, run as verl has them."""
    mode = config.trainer.v1.trainer_mode
    of_spo = mode.startswith("spo_") or config.algorithm.adv_estimator == ADVANTAGE_ESTIMATOR
    return bool(of_spo and not evaluates(config))


def evaluates(config: DictConfig) -> bool:
    """Whether a configuration trains nothing and answers benchmarks (`verl-spo evaluate`)."""
    return bool(config.trainer.v1.trainer_mode == EVALUATES)


def has_history(config: DictConfig) -> bool:
    """Whether a configuration writes to the store."""
    return is_spo(config) or evaluates(config)


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as plain values, interpolations resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def engine(actor: DictConfig) -> str:
    """verl's engine that trains: "megatron", "fsdp" for both versions of it, or another of verl's."""
    return "fsdp" if actor.strategy == "fsdp2" else str(actor.strategy)


def weight_bytes(actor: DictConfig) -> int:
    """Bytes of a parameter as the engine keeps it (verl/workers/engine/fsdp/transformer_impl.py:258, engine.py:98)."""
    full = engine(actor) == "fsdp" and actor.fsdp_config.model_dtype in (None, "fp32", "float32")
    return 4 if full else 2


def sampling(config: DictConfig) -> dict[str, Any]:
    """How verl samples in validation, as the store keeps it of an evaluation."""
    rollout, reward = config.actor_rollout_ref.rollout, config.reward.custom_reward_function
    loop = rollout.agent.default_agent_loop
    settings: dict[str, Any] = {
        "temperature": float(rollout.val_kwargs.temperature),
        "top_p": float(rollout.val_kwargs.top_p),
        "top_k": int(rollout.val_kwargs.top_k),
        "max_prompt_length": config.data.max_prompt_length,
        "max_response_length": config.data.max_response_length,
        "agent_loop": loop,
        "reward": None if reward.path is None else f"{reward.path}:{reward.name}",
        "reward_kwargs": _plain_or_none(reward.get("reward_kwargs")),
        "chat_template": config.actor_rollout_ref.model.get("custom_chat_template"),
        "chat_template_kwargs": _plain_or_none(config.data.get("apply_chat_template_kwargs")),
        # Turns and tools.
        "multi_turn": None if loop in SINGLE_TURN else _plain_or_none(rollout.get("multi_turn")),
    }
    return {name: value for name, value in settings.items() if value not in (None, {})}


def _plain_or_none(group: DictConfig | None) -> dict[str, Any] | None:
    return plain(group) if group else None


def run_name(config: DictConfig) -> str:
    """Name of the run in the store and in checkpoints."""
    return f"{config.trainer.project_name}/{config.trainer.experiment_name}"


def checkpoint_folder(config: DictConfig) -> Path | None:
    """The `global_step_N` folder that a run starts from: of its own, or else the one that it branches from."""
    return own_checkpoint(config) or branch_point(config)


def branch_point(config: DictConfig) -> Path | None:
    """The folder of `spo.branch_from`, for a run that has no checkpoint of its own to go on from."""
    named = spo_config(config).branch_from
    return None if named is None or own_checkpoint(config) is not None else Path(named)


def own_checkpoint(config: DictConfig) -> Path | None:
    """The `global_step_N` folder that verl will resume from, as verl decides it (trainer_base.py:854)."""
    mode, root = config.trainer.resume_mode, Path(config.trainer.default_local_dir)
    if mode == "resume_path":
        return Path(config.trainer.resume_from_path)
    step = latest_step(root) if mode == "auto" else None
    return None if step is None else root / f"global_step_{step}"


def latest_step(checkpoints: Path) -> int | None:
    """The step of the latest complete checkpoint in a run's folder, as verl notes it."""
    latest = checkpoints / "latest_checkpointed_iteration.txt"
    return int(latest.read_text()) if latest.is_file() else None


@contextmanager
def resuming_from(config: DictConfig, folder: Path | None) -> Iterator[None]:
    """Have verl resume from a folder while the block runs, or from where it would by itself if that is None."""
    trainer = config.trainer
    given = trainer.resume_mode, trainer.resume_from_path
    if folder is not None:
        trainer.resume_mode, trainer.resume_from_path = "resume_path", str(folder)
    yield
    trainer.resume_mode, trainer.resume_from_path = given


def has_own_dataset(config: DictConfig) -> bool:
    """Whether a class of the user's reads the data (`data.custom_cls`)."""
    return config.data.custom_cls.path is not None


def data_files(config: DictConfig, split: str) -> Any:
    """`data.train_files` or `data.val_files` with `~` and folders, which verl does not know, spelt out.

    A folder stands for the files in it. What a class of the user's reads is as they gave it.
    """
    files = config.data[split]
    if has_own_dataset(config):
        return files
    names = [files] if isinstance(files, str) else list(files or [])
    return [file for name in names for file in _spelt_out(name)]


def _spelt_out(name: str) -> list[str]:
    path = Path(name).expanduser()
    if "://" in name or not path.is_dir():
        return [name if "://" in name else str(path)]
    return sorted(str(file) for file in path.iterdir() if file.suffix in FILE_FORMATS)
