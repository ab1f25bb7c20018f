"""`kl` keeps of a response its tokens: neither images nor the experts that they went to (training/rescoring.py)."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_spo.config import SPOConfig
from verl_spo.errors import ConfigError
from verl_spo.training.preflight.data import tables

# What says in a model's folder that there is a processor, of images or the like.
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
_INSTEAD = "spo.retention=event or drift, which re-score nothing"


def check(config: DictConfig, spo: SPOConfig) -> None:
    """Refuse what `kl` cannot re-score.

    Raises:
        ConfigError: Images, video or audio are trained on, or router replay is on.
    """
    if spo.retention != "kl":
        return
    _check_routes(config)
    _check_media(config)
    check_processor(_local_processor(config), config, spo)


def check_processor(processor: Any, config: DictConfig, spo: SPOConfig) -> None:
    """Refuse `kl` for a model of more than text, which is one that verl makes a processor for."""
    if processor is not None and spo.retention == "kl":
        raise ConfigError(
            f"actor_rollout_ref.model.path={config.actor_rollout_ref.model.path}: a model with a "
            f"{type(processor).__name__}, but spo.retention=kl re-scores text only; set {_INSTEAD}"
        )


def _check_routes(config: DictConfig) -> None:
    """Router replay, in the engines that have it (verl/workers/engine_workers.py:498)."""
    mode = f"actor_rollout_ref.actor.{config.actor_rollout_ref.actor.strategy}.router_replay.mode"
    for option, off in ((mode, "disabled"), ("actor_rollout_ref.rollout.enable_rollout_routing_replay", False)):
        value = OmegaConf.select(config, option, default=off)
        if value != off:
            raise ConfigError(
                f"{option}={value}: spo.retention=kl re-scores responses without the routes of their tokens; "
                f"set {off}, or {_INSTEAD}"
            )


def _check_media(config: DictConfig) -> None:
    for option, table in tables(config, "train_files"):
        for key in ("image_key", "video_key", "audio_key"):
            if _holds(table, config.data[key]):
                raise ConfigError(
                    f"{option}: has rows with {config.data[key]} (data.{key}), but spo.retention=kl re-scores text "
                    f"only; set {_INSTEAD}"
                )


def _holds(table: Any, column: str) -> bool:
    """Whether a row has something in a column."""
    if column not in table.schema.names:
        return False
    batches = table.to_batches(columns=[column], batch_size=64)
    return any(value for batch in batches for value in batch[column].to_pylist())


def _local_processor(config: DictConfig) -> Any:
    """The processor that verl will make of a local model (verl/workers/config/model.py:162), if any."""
    model = config.actor_rollout_ref.model
    folder = Path(model.tokenizer_path or model.path).expanduser()
    if not any((folder / name).is_file() for name in PROCESSOR_FILES):
        return None
    # Takes seconds, which a model of text is spared.
    from verl.utils import hf_processor

    return hf_processor(str(folder), trust_remote_code=model.trust_remote_code)
