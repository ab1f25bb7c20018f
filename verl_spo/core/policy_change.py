"""How far a policy has moved: the mean |log-prob change| per token, in nats per token ([SPO] section 4 calls it D)."""

import math

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray


def mean_change(now: ArrayLike, then: ArrayLike, mask: ArrayLike) -> FloatArray:
    """Policy change on responses, from the log-probs that two policies give to their tokens.

    Args:
        now: Log-probs by the later policy, (..., tokens).
        then: By the earlier one, likewise.
        mask: 1 for a token that the model generated, likewise; what stands elsewhere is ignored.

    Returns:
        Nats per token, (...); NaN for a response without any such token.
    """
    generated = np.asarray(mask, dtype=bool)
    change = np.where(generated, np.abs(np.asarray(now) - np.asarray(then)), 0.0)
    with np.errstate(invalid="ignore"):
        mean: FloatArray = change.sum(axis=-1, dtype=np.float64) / generated.sum(axis=-1)
    return mean


def update_change(mean: float, updates: int, noise: float = 0.0) -> float:
    """How far a step moved the policy on its own batch, without another forward pass.

    Mini-batch m (from 0) is scored after m of the step's optimizer updates, so its mean |log-prob change| grows about
    linearly with m: those after the first have seen half of all updates on average. The first has seen none. What it
    shows is noise: in bf16, two forward passes of one policy differ.

    Noise that does not depend on the change adds to it as squares do: exactly, if both are normal and are large on the
    same tokens, those of which the policy is unsure. Plain subtraction would take away too much.

    Args:
        mean: Mean over the mini-batches of the mean over tokens of |log pi - log pi_old|, nats per token.
        updates: Optimizer updates of the step; several epochs count on.
        noise: That mean of the first mini-batch alone.

    Returns:
        The estimate, nats per token; NaN for fewer than two updates, which cannot show it.
    """
    if updates < 2:
        return math.nan
    later = (updates * mean - noise) / (updates - 1)
    return 2 * math.sqrt(max(later**2 - noise**2, 0.0))
