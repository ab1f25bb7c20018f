"""Baselines: what is subtracted from a reward, given the v_hat of its prompt. One contract for both kinds.

- `value` ([SPO] section 4): v_hat itself, which leaves the least variance in the advantage.
- `optimal` (neither paper's): what leaves the least variance in the gradient `(r - b) * grad log pi(y)`, which is
  `E[r g] / E[g]` with `g = |grad log pi(y)|^2` (Weaver & Tao, UAI 2001; Greensmith, Bartlett & Baxter, JMLR 2004). A
  policy that is sure of itself has a large gradient on its rare answers and next to none on its usual ones: where
  v_hat is near 1, the optimum is near 0. It is estimated from the latest outcomes of prompts of like v_hat.

Both depend on the past alone, so neither biases the gradient.

verl has two relatives of `optimal`, which take the outcomes of a group of responses to one prompt and subtract nothing
from a response that is alone (verl/trainer/ppo/core_algos.py:678, 950). OPO (core_algos.py:640; arXiv 2505.23585) has
the response's length for g, as if every token had the same gradient. The optimal token baseline (core_algos.py:872) has
the squared gradient by all logits, `1 - 2p + sum of all p^2` a token, and sums up to each token, which gets a baseline
of its own. `squared_gradient_norm` is the part of it by the logit that was chosen: at least half, and known from the
log-probs alone, while verl's V1 trainer does not ask its engines for the sum.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, assert_never

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.config import BaselineKind
from verl_spo.core.arrays import FloatArray, IntArray, as_floats
from verl_spo.core.state import require_fields
from verl_spo.errors import SPOError

BINS = 10
# A step keeps this share of what the steps before it showed: their policy was another.
_KEPT = 0.9
# Outcomes that a bin needs before it outweighs all bins together.
_SHRINKAGE = 8.0


class Baseline(ABC):
    """The contract. Here also the state of `value`: none.

    Attributes:
        needs_squared_norms: `observe` wants the squared gradient norm of each outcome; normalization centres by it,
            since any other centre would undo the baseline.
    """

    needs_squared_norms: ClassVar[bool] = False

    @abstractmethod
    def at(self, values: ArrayLike) -> FloatArray:
        """Baselines (n,), in [0, 1], of prompts whose v_hat is `values` (n,)."""

    def observe(self, values: ArrayLike, rewards: ArrayLike, squared_norms: ArrayLike | None) -> None:  # noqa: B027
        """Learn from a batch of outcomes.

        Args:
            values: v_hat of their prompts before these outcomes, (n,).
            rewards: (n,), in [0, 1].
            squared_norms: See `squared_gradient_norm`, (n,); only for `needs_squared_norms`.
        """

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a checkpoint must hold."""
        return {}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            CheckpointError: The state belongs to another kind of baseline.
        """
        require_fields(f"baseline {type(self).__name__}", state, self.state_dict())


class Value(Baseline):
    """v_hat itself."""

    def at(self, values: ArrayLike) -> FloatArray:
        return as_floats(values)


class Optimal(Baseline):
    """Reward weighted by squared gradient norm, in equal bins of v_hat."""

    needs_squared_norms = True

    def __init__(self, initial: float, batch_size: int) -> None:
        """
        Args:
            initial: Baseline before any outcome.
            batch_size: Outcomes a step.
        """
        self._initial, self._batch_size = initial, batch_size
        self._squared_norm = np.zeros(BINS)
        self._rewarded = np.zeros(BINS)
        self._count = np.zeros(())

    def at(self, values: ArrayLike) -> FloatArray:
        total = self._squared_norm.sum()
        if total == 0.0:
            return np.full(np.shape(values), self._initial)
        pooled, typical = self._rewarded.sum() / total, total / self._count
        by_bin = (self._rewarded + _SHRINKAGE * typical * pooled) / (self._squared_norm + _SHRINKAGE * typical)
        baselines: FloatArray = by_bin[_bins(values)]
        return baselines

    def observe(self, values: ArrayLike, rewards: ArrayLike, squared_norms: ArrayLike | None) -> None:
        if squared_norms is None or np.isnan(squared_norms).any():
            raise SPOError(
                "spo.baseline='optimal': squared gradient norm is missing for some outcomes; give them old log-probs, "
                "or set spo.baseline=value"
            )
        bins, squared_norm = _bins(values), as_floats(squared_norms)
        kept = _KEPT ** (bins.size / self._batch_size)
        self._squared_norm = kept * self._squared_norm + np.bincount(bins, squared_norm, BINS)
        self._rewarded = kept * self._rewarded + np.bincount(bins, squared_norm * as_floats(rewards), BINS)
        self._count = kept * self._count + bins.size

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"squared_norm": self._squared_norm, "rewarded": self._rewarded, "count": np.asarray(self._count)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        super().load_state_dict(state)
        self._squared_norm, self._rewarded = (
            as_floats(state["squared_norm"]).copy(),
            as_floats(state["rewarded"]).copy(),
        )
        self._count = as_floats(state["count"]).copy()


def _bins(values: ArrayLike) -> IntArray:
    bins: IntArray = np.minimum((as_floats(values) * BINS).astype(np.int64), BINS - 1)
    return bins


def make_baseline(kind: BaselineKind, initial: float, batch_size: int) -> Baseline:
    """The baseline that `spo.baseline` asks for."""
    match kind:
        case "value":
            return Value()
        case "optimal":
            return Optimal(initial, batch_size)
    assert_never(kind)


def squared_gradient_norm(log_probs: ArrayLike, mask: ArrayLike) -> FloatArray:
    """Stand-in for |grad log pi(y)|^2 of each trajectory, from the log-probs that training computes anyway.

    A softmax moves the logit of a token that it gave the probability p by 1 - p: the sum of (1 - p)^2 over the tokens.

    Args:
        log_probs: (n, tokens), at the temperature of training.
        mask: 1 for a token that the model generated, (n, tokens); what stands elsewhere is ignored.

    Returns:
        (n,), at least 0.
    """
    generated = np.asarray(mask, dtype=bool)
    surprise = -np.expm1(np.where(generated, log_probs, 0.0))
    squared_norm: FloatArray = (surprise**2).sum(axis=-1, dtype=np.float64)
    return squared_norm
