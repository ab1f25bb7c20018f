"""The value tracker: a Beta-shaped estimate of every prompt's success rate ([SPO] section 4, [SPO++] section 2.2).

`v_hat = alpha / (alpha + beta)` is the estimate and `N_eff = alpha + beta` its evidence, in observations. Evidence ages
in one of two ways: by the prompt's own visits (`observe`) or by the policy's events (`observe_at`). Event time decays
lazily: alpha and beta stand as of the event `z`, and a reader at a later clock applies the decay, which leaves v_hat as
it is. Sums never underflow to 0 / 0, however long the gap: the latest evidence of a prompt is kept unfaded.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray, IntArray, as_floats, as_ints
from verl_spo.core.state import require_equal, require_fields

FIELDS = ("alpha", "beta", "z", "visits", "last_step")
"""Names of the arrays that are the state of each prompt."""


class ValueTracker:
    """Evidence for each of P prompts.

    Attributes:
        alpha: Faded successes, (P,) float64, as of `z`.
        beta: Faded failures, (P,) float64, as of `z`.
        z: Event time of the latest evidence, (P,) float64; 0 where evidence ages by visits.
        visits: Observations so far, (P,) int64.
        last_step: Training step of the latest observation, (P,) int64; 0 before the first.
        n_visited: Prompts with at least one observation.
    """

    def __init__(self, alpha: ArrayLike, beta: ArrayLike) -> None:
        """Start from evidence of (P,) each; alpha + beta must be above 0 everywhere."""
        self.alpha: FloatArray = np.array(alpha, dtype=np.float64)
        self.beta: FloatArray = np.array(beta, dtype=np.float64)
        self.z: FloatArray = np.zeros_like(self.alpha)
        self.visits: IntArray = np.zeros(self.alpha.shape, dtype=np.int64)
        self.last_step: IntArray = np.zeros(self.alpha.shape, dtype=np.int64)
        self.n_visited = 0

    @classmethod
    def from_value(cls, size: int, value: ArrayLike = 0.5, n_eff: ArrayLike = 1.0) -> Self:
        """`size` prompts at `value` in [0, 1] with evidence `n_eff` above 0: one number each, or (P,) arrays."""
        strength = np.broadcast_to(as_floats(n_eff), (size,))
        return cls(strength * as_floats(value), strength * (1 - as_floats(value)))

    @property
    def size(self) -> int:
        """Prompts in the pool, P."""
        return int(self.alpha.size)

    def value(self, slots: ArrayLike | None = None) -> FloatArray:
        """v_hat in [0, 1] of `slots` (n,), or of the whole pool (P,). Ageing does not change it."""
        alpha, beta = (
            (self.alpha, self.beta) if slots is None else (self.alpha[as_ints(slots)], self.beta[as_ints(slots)])
        )
        return alpha / (alpha + beta)

    def n_eff(self, slots: ArrayLike | None = None, clock: float = 0.0) -> FloatArray:
        """Evidence in observations at event time `clock`, of `slots` (n,) or of the whole pool (P,).

        A clock earlier than a prompt's latest evidence reads it unfaded; after a very long gap it is 0.
        """
        at = slice(None) if slots is None else as_ints(slots)
        fading: FloatArray = np.exp(-np.maximum(clock - self.z[at], 0.0))
        return (self.alpha[at] + self.beta[at]) * fading

    def steps_since(self, slots: ArrayLike, step: int) -> IntArray:
        """Training steps from the latest observation of `slots` to `step`, (n,); 0 where there is none yet."""
        at = as_ints(slots)
        since: IntArray = np.where(self.visits[at] > 0, step - self.last_step[at], 0)
        return since

    def observe(self, slots: ArrayLike, rewards: ArrayLike, rho: ArrayLike, step: int) -> None:
        """Add outcomes where evidence ages by visits: `alpha <- rho * alpha + r`, `beta <- rho * beta + (1 - r)`.

        A slot that occurs several times is updated in order of appearance.

        Args:
            slots: (n,).
            rewards: (n,), in [0, 1].
            rho: Retention in (0, 1], (n,) or one number.
            step: Training step.
        """
        slots = as_ints(slots)
        fading = np.broadcast_to(-np.log(as_floats(rho)), slots.shape)
        touched, group = np.unique(slots, return_inverse=True)
        faded = as_floats(np.bincount(group, fading, touched.size))
        self._add(touched, group, faded, _fading_after(group, fading), as_floats(rewards), step)

    def observe_at(self, slots: ArrayLike, rewards: ArrayLike, z: ArrayLike, step: int) -> None:
        """Add outcomes where evidence ages by policy events; the order of arrival does not matter.

        Args:
            slots: (n,).
            rewards: (n,), in [0, 1].
            z: Event time of the policy that generated each outcome, (n,); may lie before evidence already here.
            step: Training step.
        """
        slots, z = as_ints(slots), as_floats(z)
        touched, group = np.unique(slots, return_inverse=True)
        latest = self.z[touched]
        np.maximum.at(latest, group, z)
        faded = latest - self.z[touched]
        self.z[touched] = latest
        self._add(touched, group, faded, latest[group] - z, as_floats(rewards), step)

    def _add(
        self, touched: IntArray, group: IntArray, faded: FloatArray, ages: FloatArray, rewards: FloatArray, step: int
    ) -> None:
        """Fade what `touched` hold by `faded`, (k,) both, then add the outcomes of `group`, faded by `ages`, (n,)."""
        kept, weights = np.exp(-faded), np.exp(-ages)
        for evidence, share in ((self.alpha, rewards), (self.beta, 1.0 - rewards)):
            evidence[touched] = kept * evidence[touched] + np.bincount(group, weights * share, touched.size)
        self.n_visited += int(np.count_nonzero(self.visits[touched] == 0))
        self.visits[touched] += np.bincount(group, minlength=touched.size)
        self.last_step[touched] = step

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the five arrays."""
        return {name: getattr(self, name).copy() for name in FIELDS}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            CheckpointError: Other fields, or another pool size.
        """
        require_fields("value tracker", state, FIELDS)
        for name in FIELDS:
            require_equal("value tracker", f"{name} of shape", state[name].shape, self.alpha.shape)
        for name in FIELDS:
            setattr(self, name, np.array(state[name], dtype=getattr(self, name).dtype))
        self.n_visited = int(np.count_nonzero(self.visits))


def _fading_after(group: IntArray, fading: FloatArray) -> FloatArray:
    """What each outcome loses in its own batch: the sum of `fading` (n,) over later members of its group, (n,)."""
    order = np.argsort(group, kind="stable")
    running = np.cumsum(fading[order])
    counts = np.bincount(group)
    after = np.empty_like(running)
    after[order] = np.repeat(running[np.cumsum(counts) - 1], counts) - running
    return after
