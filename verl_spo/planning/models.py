"""The shape of a model, from its `config.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_spo.errors import ConfigError
from verl_spo.training import architecture

_NEEDED = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"),
    *("vocab_size", "model_type"),
)


@dataclass(frozen=True)
class Model:
    """A dense decoder with gated MLPs, such as Qwen3.

    Attributes:
        folder: Of its `config.json`.
        hidden, layers, heads, kv_heads, head_dim, intermediate, vocabulary: Sizes.
        tied: Whether the output layer is the embedding.
        normed_heads: Whether queries and keys are normalized, as Qwen3's are.
    """

    folder: Path
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    normed_heads: bool

    @property
    def query(self) -> int:
        """Channels of the queries of a token."""
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        """Channels of the keys of a token, and of its values."""
        return self.kv_heads * self.head_dim

    @property
    def layer_parameters(self) -> int:
        """Of one decoder layer, without biases."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.normed_heads else 0)
        return self.hidden * (2 * self.query + 2 * self.key + 3 * self.intermediate) + norms

    @property
    def word_parameters(self) -> int:
        """Of the embedding and the output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        return self.layers * self.layer_parameters + self.word_parameters + self.hidden


def find(path: str) -> Model:
    """The model that a recipe names (`actor_rollout_ref.model.path`).

    Raises:
        ConfigError: Its `config.json` cannot be read from here, or is not of a dense decoder.
    """
    folder = architecture.find(path)
    if folder is None:
        raise ConfigError(
            f"actor_rollout_ref.model.path={path!r}: no folder with a config.json, nor in the hub's cache, and without "
            f"it only {', '.join(architecture.published())} are known; give a local folder"
        )
    return _read(folder.resolve(), path)


def _read(folder: Path, path: str) -> Model:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    missing = [name for name in _NEEDED if name not in config]
    experts = [name for name in config if "experts" in name]
    if missing or experts:
        found = f"has no {', '.join(missing)}" if missing else f"has {', '.join(experts)}"
        raise ConfigError(
            f"actor_rollout_ref.model.path={path!r}: its config.json {found}; a plan can be made of dense decoders "
            "of text, such as Qwen3-8B"
        )
    return Model(
        folder=folder,
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
        intermediate=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        tied=bool(config.get("tie_word_embeddings", False)),
        normed_heads=config["model_type"].startswith("qwen3"),
    )
