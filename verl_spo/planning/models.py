"""The model of which a plan is made."""

import json
from pathlib import Path
from typing import Any

from verl_spo.errors import ConfigError
from verl_spo.training import architecture
from verl_spo.training.architecture import Architecture

_NEEDED = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"),
    *("vocab_size", "model_type"),
)


def find(path: str) -> tuple[Path, Architecture]:
    """The model that a recipe names (`actor_rollout_ref.model.path`): the folder of its `config.json`, and its sizes.

    Raises:
        ConfigError: It cannot be read from here, or is not of a dense decoder.
    """
    folder = architecture.find(path)
    if folder is None:
        raise ConfigError(
            f"actor_rollout_ref.model.path={path!r}: no folder with a config.json, nor in the hub's cache, and without "
            f"it only {', '.join(architecture.published())} are known; give a local folder"
        )
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    _refuse_what_no_plan_knows(config, path)
    return folder.resolve(), Architecture.from_mapping(config)


def _refuse_what_no_plan_knows(config: dict[str, Any], path: str) -> None:
    missing = [name for name in _NEEDED if name not in config]
    experts = [name for name in config if "experts" in name]
    if missing or experts:
        found = f"has no {', '.join(missing)}" if missing else f"has {', '.join(experts)}"
        raise ConfigError(
            f"actor_rollout_ref.model.path={path!r}: its config.json {found}; a plan can be made of dense decoders "
            "of text, such as Qwen3-8B"
        )
