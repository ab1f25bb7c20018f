"""What a model's config.json says, without loading the model: its sizes, on a machine that may not have it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from omegaconf import DictConfig

from verl_spo.training.verl_options import plain

PUBLISHED = Path(__file__).parent / "published"
"""The config.json of models on the hub that recipes name, as published: these can be planned for offline."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of a model of text; 0 where its config.json does not say.

    Counts of parameters are those of a dense decoder with gated feed-forward layers and no biases, such as Qwen3.

    Attributes:
        layers: Transformer layers.
        hidden: Width of the residual stream.
        heads: Attention heads.
        kv_heads: Heads of keys and values.
        head_dim: Width of a head.
        feed_forward: Width of a feed-forward layer.
        vocabulary: Rows of the embedding.
        positions: Tokens that the model was built for.
        experts: Experts per layer; 0 in a dense model.
        tied: Whether the embedding is the output layer too.
        normed_heads: Whether queries and keys are normalized, as Qwen3's are.
    """

    layers: int = 0
    hidden: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    feed_forward: int = 0
    vocabulary: int = 0
    positions: int = 0
    experts: int = 0
    tied: bool = False
    normed_heads: bool = False

    @classmethod
    def from_mapping(cls, model: Mapping[str, Any]) -> "Architecture":
        """Of the contents of a config.json."""
        text = model.get("text_config") or model
        heads, hidden = text.get("num_attention_heads") or 0, text.get("hidden_size") or 0
        return cls(
            layers=text.get("num_hidden_layers") or 0,
            hidden=hidden,
            heads=heads,
            kv_heads=text.get("num_key_value_heads") or heads,
            head_dim=text.get("head_dim") or (hidden // heads if heads else 0),
            feed_forward=text.get("intermediate_size") or 0,
            vocabulary=text.get("vocab_size") or 0,
            positions=text.get("max_position_embeddings") or 0,
            experts=text.get("num_experts") or text.get("num_local_experts") or text.get("n_routed_experts") or 0,
            tied=bool(text.get("tie_word_embeddings", model.get("tie_word_embeddings", False))),
            normed_heads=str(text.get("model_type")).startswith("qwen3"),
        )

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
        """Of one decoder layer."""
        norms = 2 * self.hidden + (2 * self.head_dim if self.normed_heads else 0)
        return self.hidden * (2 * self.query + 2 * self.key + 3 * self.feed_forward) + norms

    @property
    def word_parameters(self) -> int:
        """Of the embedding and the output layer."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        return self.layers * self.layer_parameters + self.word_parameters + self.hidden

    def adapters(self, rank: int) -> int:
        """Parameters of LoRA on every linear layer of the decoder, the most that it may have."""
        return self.layers * rank * (7 * self.hidden + 2 * self.query + 2 * self.key + 3 * self.feed_forward)


def of(config: DictConfig) -> Architecture | None:
    """The architecture of a recipe's model; None where its config.json cannot be read from here."""
    if (found := folder(config)) is None:
        return None
    given = plain(config.actor_rollout_ref.model.override_config)
    # As verl reads it (verl/workers/config/model.py:216).
    return Architecture.from_mapping(
        {**json.loads((found / "config.json").read_text()), **given.get("model_config", given)}
    )


def folder(config: DictConfig) -> Path | None:
    """A folder with the config.json of a recipe's model; None if it cannot be read from here."""
    return find(str(config.actor_rollout_ref.model.path))


def find(name: str) -> Path | None:
    """A folder with a model's config.json: its own, the hub's cache, or what ships for a model of that name."""
    own = Path(name).expanduser()
    shipped = (PUBLISHED / each for each in published() if Path(each).name == own.name)
    found = (own, downloaded(name), *shipped)
    return next((each for each in found if each is not None and (each / "config.json").is_file()), None)


def downloaded(name: str) -> Path | None:
    """What the hub's cache has of a model; an address of another kind is no name of the hub's."""
    with suppress(HFValidationError):
        file = try_to_load_from_cache(name, "config.json")
        return Path(file).parent if isinstance(file, str) else None
    return None


def published() -> list[str]:
    """Names on the hub whose config.json ships with verl-spo."""
    return sorted(file.parent.relative_to(PUBLISHED).as_posix() for file in PUBLISHED.rglob("config.json"))
