"""The advantage estimator `algorithm.adv_estimator=spo`.

verl calls an estimator with rewards and masks only (verl/trainer/ppo/ray_trainer.py:246). SPO's baselines are frozen
at dispatch and kept by the trainer, so that the trainer says here, before verl's call, how advantages come from these.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np
import torch

from verl_spo.config import ADVANTAGE_ESTIMATOR
from verl_spo.errors import PluginError

Compute = Callable[[torch.Tensor, torch.Tensor], Mapping[str, float]]
"""From rewards and response mask, (rows, tokens) each, to the advantage of each trajectory by its uid."""

_compute: ContextVar[Compute | None] = ContextVar("spo_advantages", default=None)


@contextmanager
def computing(compute: Compute) -> Iterator[None]:
    """Where advantages come from in the estimator calls inside the block."""
    token = _compute.set(compute)
    try:
        yield
    finally:
        _compute.reset(token)


def spo_advantage(
    token_level_rewards: torch.Tensor, response_mask: torch.Tensor, index: np.ndarray, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Broadcast each trajectory's advantage to the tokens that the model generated ([SPO] section 4).

    Args:
        token_level_rewards: (rows, tokens).
        response_mask: (rows, tokens), 1 for a token that the model generated.
        index: (rows,), the uid of each row's trajectory. Rows of one session share a uid; those without an advantage
            get 0: padding rows, whose uid was never dispatched, and sessions without a generated token.

    Returns:
        advantages and returns, the same tensor, (rows, tokens).

    Raises:
        PluginError: Called by a trainer that is not SPO's.
    """
    compute = _compute.get()
    if compute is None:
        raise PluginError(
            "algorithm.adv_estimator=spo needs SPO's trainer, which keeps the baselines: set "
            "trainer.v1.trainer_mode=spo_sync (or spo_colocate_async, spo_separate_async)"
        )
    advantages = compute(token_level_rewards, response_mask)
    per_row = torch.tensor([advantages.get(uid, 0.0) for uid in index], dtype=token_level_rewards.dtype)
    per_token = per_row.to(response_mask.device).unsqueeze(-1) * response_mask
    return per_token, per_token


def register(core_algos: ModuleType) -> None:
    """Register with verl (verl/trainer/ppo/core_algos.py:116)."""
    core_algos.register_adv_est(ADVANTAGE_ESTIMATOR)(spo_advantage)
