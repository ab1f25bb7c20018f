"""The advantage estimator `algorithm.adv_estimator=spo`.

verl calls an estimator with rewards and masks only (verl/trainer/ppo/ray_trainer.py:246). SPO's baseline is the
session's, so the trainer computes one advantage a trajectory and lays them out here for the length of verl's call.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np
import torch

from verl_spo.errors import PluginError

NAME = "spo"
_advantages: ContextVar[Mapping[str, float] | None] = ContextVar("spo_advantages", default=None)


@contextmanager
def laid_out(advantages: Mapping[str, float]) -> Iterator[None]:
    """Advantages by uid, for the estimator calls inside the block."""
    token = _advantages.set(advantages)
    try:
        yield
    finally:
        _advantages.reset(token)


def spo_advantage(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: np.ndarray, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Broadcast each trajectory's advantage to the tokens that the model generated ([SPO] section 4).

    Args:
        token_level_rewards: (rows, tokens); only its dtype and device count.
        response_mask: (rows, tokens), 1 for a token that the model generated.
        index: (rows,), the uid of each row's trajectory. Rows of one session share a uid; padding rows have one that
            was never dispatched, and get 0.

    Returns:
        advantages and returns, the same tensor, (rows, tokens).

    Raises:
        PluginError: Called by a trainer that is not SPO's.
    """
    advantages = _advantages.get()
    if advantages is None:
        raise PluginError(
            "algorithm.adv_estimator=spo needs SPO's trainer, which keeps the baselines: set "
            "trainer.v1.trainer_mode=spo_sync (or spo_colocate_async, spo_separate_async)"
        )
    per_row = torch.tensor([advantages.get(uid, 0.0) for uid in index], dtype=token_level_rewards.dtype)
    per_token = per_row.to(response_mask.device).unsqueeze(-1) * response_mask
    return per_token, per_token


def register(core_algos: ModuleType) -> None:
    """Register with verl (verl/trainer/ppo/core_algos.py:116)."""
    core_algos.register_adv_est(NAME)(spo_advantage)
