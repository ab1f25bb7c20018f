"""`override_transformer_config`: verl sets whatever name is given, and nothing reads a misspelt one."""

import difflib
import importlib.util
import warnings
from dataclasses import fields

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training import parallelism

_OPTION = "actor_rollout_ref.actor.megatron.override_transformer_config"


def check(config: DictConfig) -> str | None:
    """Look each name up in Megatron's configuration.

    Returns:
        Why it was not checked; None where it was.

    Raises:
        ConfigError: Megatron does not know a name.
    """
    if not parallelism.is_megatron(config):
        return None
    if not is_installed():
        return "megatron-core is not installed here"
    known = _known()
    for name in config.actor_rollout_ref.actor.megatron.override_transformer_config:
        if name not in known:
            close = ", ".join(difflib.get_close_matches(name, known))
            raise ConfigError(
                f"{_OPTION}.{name}: Megatron has no such option{f'; did you mean {close}?' * bool(close)}"
            )
    return None


def is_installed() -> bool:
    """Whether megatron-core is, in the namespace package that others share."""
    return importlib.util.find_spec("megatron") is not None and importlib.util.find_spec("megatron.core") is not None


def _known() -> set[str]:
    with warnings.catch_warnings():
        # Of what is not installed.
        warnings.simplefilter("ignore")
        from megatron.core.transformer.transformer_config import MLATransformerConfig

    known = {each.name for each in fields(MLATransformerConfig)}
    if importlib.util.find_spec("megatron.bridge") is not None:
        from megatron.bridge.models.gpt_provider import GPTModelProvider

        known |= {each.name for each in fields(GPTModelProvider)}
    return known
