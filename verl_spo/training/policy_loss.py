"""The policy loss `actor_rollout_ref.actor.policy_loss.loss_mode=spo`: verl's PPO-clip, plus one measurement.

`drift` retention wants to know how far an update moved the policy, without a forward pass of its own. A step's later
mini-batches show it: their log-ratios are what the earlier mini-batches' updates did.
"""

from types import ModuleType
from typing import Any

import torch

NAME = "spo"
LOG_RATIO_METRIC = "actor/log_ratio_abs"


def register(core_algos: ModuleType) -> None:
    """Register with verl (verl/trainer/ppo/core_algos.py:1285)."""
    vanilla = core_algos.compute_policy_loss_vanilla

    def compute_policy_loss_spo(
        old_log_prob: torch.Tensor, log_prob: torch.Tensor, response_mask: torch.Tensor, **kwargs: Any
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        loss, metrics = vanilla(old_log_prob=old_log_prob, log_prob=log_prob, response_mask=response_mask, **kwargs)
        log_ratio = (log_prob.detach() - old_log_prob).abs() * response_mask
        metrics[LOG_RATIO_METRIC] = (log_ratio.sum() / response_mask.sum().clamp(min=1)).item()
        return loss, metrics

    core_algos.register_policy_loss(NAME)(compute_policy_loss_spo)
