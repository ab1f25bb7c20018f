"""The policy loss `actor_rollout_ref.actor.policy_loss.loss_mode=spo`: verl's PPO-clip, plus one measurement.

`drift` retention wants to know how far an update moved the policy, without a forward pass of its own. A step's later
mini-batches show it: their log-ratios are what the earlier mini-batches' updates did. Those of the first are noise.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from verl_spo.config import POLICY_LOSS

LOG_RATIO_METRIC = "actor/log_ratio_abs"
NOISE_METRIC = "actor/log_ratio_noise"


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

    core_algos.register_policy_loss(POLICY_LOSS)(compute_policy_loss_spo)


def with_noise(update_actor: Callable[[Any], Any], is_first: Callable[[], bool]) -> Callable[[Any], Any]:
    """verl's `update_actor`, whose metrics also tell what the first mini-batch saw.

    verl hands over a value per mini-batch, in their order (verl/workers/engine_workers.py:333), and logs their mean.

    Args:
        update_actor: Of the worker group.
        is_first: Whether the present update is the first of its step.
    """

    def update(batch: Any) -> Any:
        output = update_actor(batch)
        metrics = output["metrics"]
        if is_first() and LOG_RATIO_METRIC in metrics:
            metrics[NOISE_METRIC] = metrics[LOG_RATIO_METRIC][:1]
        return output

    return update
