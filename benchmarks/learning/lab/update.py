"""PPO's update, the same for every method: clip-higher, dual clip, token mean, no KL and no entropy term ([SPO])."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from benchmarks.learning.lab.methods.method import Advantages
from benchmarks.learning.lab.policy import Policy, Samples
from verl_spo.core.arrays import FloatArray, IntArray

CLIP_LOW, CLIP_HIGH, DUAL_CLIP, GRAD_NORM = 0.2, 0.28, 10.0, 1.0
MINI_BATCHES = 2


def policy_loss(log_ratio: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """Scalar loss of log-ratios (n, T) and advantages, (n,) or (n, T), over the tokens of `mask` (n, T)."""
    ratio, advantage = log_ratio.exp(), advantages.reshape(len(advantages), -1)
    clipped = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH))
    bounded = torch.where(advantage < 0, torch.minimum(clipped, -advantage * DUAL_CLIP), clipped)
    return (bounded * mask).sum() / mask.sum()


def by_chance(count: int, generator: torch.Generator) -> list[IntArray]:
    """Rows of each mini-batch of a batch that is there as a whole."""
    return [rows.numpy() for rows in torch.randperm(count, generator=generator).chunk(MINI_BATCHES)]


def by_arrival(arrival: FloatArray | IntArray, parts: int) -> list[IntArray]:
    """Rows of each part of a batch whose responses arrive at these times, (n,)."""
    return np.array_split(np.argsort(arrival, kind="stable"), parts)


def update(
    policy: Policy,
    optimizer: Optimizer,
    samples: Samples,
    advantages: Advantages,
    mini_batches: Sequence[IntArray],
    before: Tensor | None = None,
) -> list[float]:
    """One epoch over the batch.

    Args:
        policy: Trained in place.
        optimizer: Of it.
        samples: (n,) responses.
        advantages: (n,) or (n, T).
        mini_batches: Rows of each.
        before: Log-probs by the policy as it is before the update, (n, T); by default those that the responses were
            drawn with.

    Returns:
        The mean |log-prob change| since `before` that each mini-batch saw, in nats per token.
    """
    before = samples.log_probs if before is None else before
    scaled = torch.from_numpy(advantages).float()
    changes = []
    for rows in mini_batches:
        tokens = samples.tokens.rows(rows)
        log_probs = policy.log_probs(tokens)
        changes.append(float(((log_probs.detach() - before[rows]).abs() * tokens.mask).sum() / tokens.mask.sum()))
        policy_loss(log_probs - samples.log_probs[rows], scaled[rows], tokens.mask).backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(policy.model.parameters(), GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
    return changes
