"""Options of Megatron's: verl sets whatever name `override_transformer_config` has; nothing reads a misspelt one."""

import difflib
import importlib.util
import warnings
from dataclasses import fields

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training.verl_options import engine

_OPTION = "actor_rollout_ref.actor.megatron.override_transformer_config"


def check(config: DictConfig) -> str | None:
    """Look each name up in Megatron's configuration.

    Returns:
        Why it was not checked; None where it was.

    Raises:
        ConfigError: Megatron does not know a name, or the entropy is to be trained on in chunks.
    """
    if engine(config.actor_rollout_ref.actor) != "megatron":
        return None
    _check_entropy(config.actor_rollout_ref.actor)
    if not is_installed():
        return "megatron-core is not installed here"
    if _has_bridge() and importlib.util.find_spec("transformer_engine") is None:
        return "Megatron-Bridge is installed here without Transformer Engine, and does not import"
    known = _known()
    for name in config.actor_rollout_ref.actor.megatron.override_transformer_config:
        if name not in known:
            close = ", ".join(difflib.get_close_matches(name, known))
            raise ConfigError(
                f"{_OPTION}.{name}: Megatron has no such option{f'; did you mean {close}?' * bool(close)}"
            )
    return None


def _check_entropy(actor: DictConfig) -> None:
    """A chunk is a view of logits that the next one changes in place (verl/utils/megatron/tensor_parallel.py:154)."""
    if actor.entropy_coeff and actor.megatron.entropy_from_logits_with_chunking:
        raise ConfigError(
            f"actor_rollout_ref.actor.entropy_coeff={actor.entropy_coeff}: with Megatron the gradient of an entropy in "
            "chunks fails; set actor_rollout_ref.actor.entropy_from_logits_with_chunking=False, or entropy_coeff=0"
        )


def is_installed() -> bool:
    """Whether megatron-core is, in the namespace package that others share."""
    return importlib.util.find_spec("megatron") is not None and importlib.util.find_spec("megatron.core") is not None


def _has_bridge() -> bool:
    return importlib.util.find_spec("megatron.bridge") is not None


def _known() -> set[str]:
    with warnings.catch_warnings():
        # Of what is not installed.
        warnings.simplefilter("ignore")
        from megatron.core.transformer.transformer_config import MLATransformerConfig

    known = {each.name for each in fields(MLATransformerConfig)}
    if _has_bridge():
        from megatron.bridge.models.gpt_provider import GPTModelProvider

        known |= {each.name for each in fields(GPTModelProvider)}
    return known
