"""Which mean and deviation normalize the advantages of a step: its own batch's, or those of the steps before.

A batch that comes back whole is normalized over itself (`advantage.normalize`). One that comes in parts is not, part by
part: what comes back first is short, so each part would lose what its lengths have in common, which may be all that it
has to say (right answers first: all of a part's advantages are alike). Its parts share the mean and deviation of the
steps before. No outcome enters its own, so neither biases the gradient; only over many steps is the mean zero.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.config import NormalizationKind
from verl_spo.core.advantage import normalize, weights_of
from verl_spo.core.arrays import FloatArray, as_floats
from verl_spo.core.state import require_equal, require_fields

# A step keeps this share of what the steps before it showed: their policy was another.
_KEPT = 0.9
# Variance of a reward of 0 or 1, as likely, around a baseline of 1/2: what is expected before the first step.
_FIRST_VARIANCE = 0.25


class Normalizer:
    """Normalizes the outcomes of a step, and remembers those of the steps before.

    A variance of `0.25 / batch_size` is added to that of the past, as of one trajectory per batch at 1/2 from the mean:
    after steps in which all failed alike, a first success is at most `2 * sqrt(batch_size)` deviations away.
    """

    def __init__(self, how: NormalizationKind, batch_size: int, in_parts: bool) -> None:
        """
        Args:
            how: `trajectory`, `token` or `none`, as for `normalize`.
            batch_size: Trajectories a step.
            in_parts: Whether they come in parts.
        """
        self._how, self._in_parts = how, in_parts
        self._least_variance = _FIRST_VARIANCE / batch_size
        # Sums of centre, centre * A, weight, weight * A and weight * A^2 (`normalize` says what these are).
        self._past = np.zeros(5)
        self._step = np.zeros(5)

    def normalize(self, advantages: ArrayLike, lengths: ArrayLike, centre: ArrayLike | None = None) -> FloatArray:
        """Normalize a step's outcomes, or a part of them; arguments as for `advantage.normalize`."""
        values, weights = as_floats(advantages), weights_of(lengths, self._how)
        middle = weights if centre is None else as_floats(centre)
        rows = np.stack([middle, middle * values, weights, weights * values, weights * values**2])
        self._step += rows.sum(axis=1)
        if not self._in_parts or self._how == "none":
            return normalize(values, lengths, self._how, centre)
        mean, variance = self._statistics()
        normalized: FloatArray = (values - mean) / np.sqrt(variance + self._least_variance)
        return normalized

    def publish(self) -> None:
        """Note that the step is over: its outcomes count from now on."""
        self._past = _KEPT * self._past + self._step
        self._step = np.zeros(5)

    def _statistics(self) -> tuple[float, float]:
        """Mean and variance of the past."""
        centre, centred, weight, total, square = self._past.tolist()
        if centre <= 0:
            return 0.0, _FIRST_VARIANCE
        mean = centred / centre
        return mean, max(square / weight - 2 * mean * total / weight + mean**2, 0.0)

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a checkpoint must hold."""
        return {"past": self._past.copy(), "step": self._step.copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            CheckpointError: Other fields or shapes.
        """
        own = self.state_dict()
        require_fields("normalizer", state, own)
        for name in own:
            require_equal("normalizer", f"{name} of shape", np.shape(state[name]), own[name].shape)
        self._past, self._step = as_floats(state["past"]).copy(), as_floats(state["step"]).copy()
