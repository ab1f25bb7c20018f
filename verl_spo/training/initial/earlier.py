"""Estimates for `spo.init=rollouts` that an interrupted attempt of the same run has stored."""

import logging
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_spo.config import SPOConfig
from verl_spo.core.estimates import Estimates
from verl_spo.store import open_reader, queries
from verl_spo.store.database.urls import without_secrets
from verl_spo.training import verl_options
from verl_spo.training.prompts.pool import PromptPool

_log = logging.getLogger(__name__)

_ROLLOUT = ("temperature", "top_p", "top_k", "prompt_length", "response_length", "multi_turn", "agent")
_ESTIMATES_DEPEND_ON = (
    *(f"data.{name}" for name in ("apply_chat_template_kwargs", "max_prompt_length")),
    *(f"actor_rollout_ref.model.{name}" for name in ("path", "custom_chat_template", "lora_adapter_path")),
    *(f"actor_rollout_ref.rollout.{name}" for name in _ROLLOUT),
    *(
        f"reward.{name}"
        for name in ("custom_reward_function", "reward_manager", "reward_kwargs", "reward_model.model_path")
    ),
    *(f"spo.reward_{name}" for name in ("low", "high", "threshold")),
)
"""Options under other values of which an estimate would be another one."""


def earlier_estimates(config: DictConfig, spo: SPOConfig, pool: PromptPool) -> Estimates:
    """What the attempt of this run before this one has estimated for `init=rollouts`, if under the same options."""
    estimates = Estimates.none(len(pool))
    if spo.init != "rollouts":
        return estimates
    with open_reader(spo.store.url) as reader:
        earlier = queries.find_run(reader, verl_options.run_name(config))
        stored = {} if earlier is None else queries.init_scores(reader, earlier.run.id)
    if earlier is None or not stored:
        return estimates
    if changed := _changed(earlier.config, without_secrets(verl_options.plain(config))):
        _log.warning("spo.init=rollouts: %s changed, so that earlier estimates are made anew", ", ".join(changed))
        return estimates
    for slot, digest in enumerate(pool.digests):
        estimates.responses[slot], estimates.reward_sum[slot] = stored.get(digest, (0, 0.0))
    known = int((estimates.responses > 0).sum())
    _log.warning("spo.init=rollouts: %d of %d prompts were estimated by an earlier attempt", known, len(pool))
    return estimates


def _changed(*configs: Mapping[str, Any]) -> list[str]:
    """Options on which estimates depend and that differ between two configurations."""
    before, now = (OmegaConf.create(dict(config)) for config in configs)
    return [name for name in _ESTIMATES_DEPEND_ON if OmegaConf.select(before, name) != OmegaConf.select(now, name)]
