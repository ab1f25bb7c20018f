"""Which prompts a step asks: a weighted draw without replacement over the whole pool ([SPO] section 5).

The distribution is that of successive weighted draws. Weights are bounded, so the draw proposes slots uniformly,
accepts each in proportion to its weight, and discards repeats: it looks at as many prompts as it needs and not at the
pool. Once it has proposed as many slots as there are prompts, a scan of the pool is cheaper, and draws the rest.
`even` draws leave nothing to chance: core/credits.py.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from verl_spo.config import SamplingKind
from verl_spo.core.arrays import BoolArray, FloatArray, IntArray, smallest
from verl_spo.core.credits import Credits
from verl_spo.core.state import require_equal, require_fields
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import SPOError

# sqrt(v * (1 - v)) is at most this, and max(N_eff, 1) ** gamma at least 1.
_MOST_SPREAD = 0.5


class PromptSampler:
    """Draws slots by `sqrt(v_hat * (1 - v_hat)) / max(N_eff, 1) ** gamma + epsilon`, by chance or evenly, or uniformly.

    Attributes:
        proposals: Slots that the latest draw looked at before any scan.
        scanned: Whether the latest draw had to scan the pool.
        called_back: Prompts of the latest draw that are to be passed over, for want of others.
    """

    def __init__(
        self,
        pool_size: int,
        kind: SamplingKind = "prioritized",
        epsilon: float = 0.05,
        gamma: float = 0.0,
        value_range: tuple[float, float] = (0.0, 1.0),
        filter_min_n_eff: float = 4.0,
        seed: int = 0,
    ) -> None:
        """Options as in `verl_spo.config.SPOConfig`."""
        self._pool_size = pool_size
        self._prioritized = kind != "uniform"
        self._credits = Credits(pool_size, seed) if kind == "even" else None
        self._epsilon, self._gamma = epsilon, gamma
        self._low, self._high = value_range
        self._filter_min_n_eff = filter_min_n_eff
        self._bound = _MOST_SPREAD + epsilon if self._prioritized else 1.0
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self.proposals = 0
        self.scanned = False
        self.called_back = 0

    def weights(
        self, tracker: ValueTracker, clock: float, slots: IntArray | None = None, resting: BoolArray | None = None
    ) -> FloatArray:
        """Weights of `slots` (n,) or of the whole pool (P,); 0 for those that rest or that the filter passes over."""
        weights, passed_over = self._weigh(tracker, clock, slots, resting)
        return np.where(passed_over, 0.0, weights)

    def _weigh(
        self, tracker: ValueTracker, clock: float, slots: IntArray | None, resting: BoolArray | None
    ) -> tuple[FloatArray, BoolArray]:
        """Weights as they are without the filter and rests, and which prompts these pass over."""
        value = tracker.value(slots)
        weights = np.ones_like(value)
        if self._prioritized:
            weights = np.sqrt(value * (1.0 - value))
            if self._gamma > 0:
                weights /= np.maximum(tracker.n_eff(slots, clock), 1.0) ** self._gamma
            weights += self._epsilon
        passed_over = (value < self._low) | (value > self._high)
        if passed_over.any():
            passed_over &= tracker.n_eff(slots, clock) >= self._filter_min_n_eff
        if resting is not None:
            passed_over |= resting if slots is None else resting[slots]
        return weights, passed_over

    def draw(
        self,
        n: int,
        tracker: ValueTracker,
        clock: float,
        blocked: BoolArray | None = None,
        resting: BoolArray | None = None,
    ) -> IntArray:
        """Draw `n` different slots, (n,), in order of the draws; if too few are left, the rest from those passed over.

        Args:
            n: At least 0.
            tracker: Values and evidence now.
            clock: Event time now.
            blocked: Prompts in flight, (P,), never drawn.
            resting: Prompts to pass over, (P,), as the filter does.

        Raises:
            SPOError: Fewer than `n` prompts can be drawn.
        """
        drawn = np.empty(0, dtype=np.int64)
        self.proposals = self.called_back = 0
        if self._credits is not None:
            return self._evenly(self._credits, n, tracker, clock, blocked, resting)
        acceptance = 1.0
        while drawn.size < n and self.proposals < self._pool_size:
            wanted = int((n - drawn.size) / acceptance * 1.1) + 16
            accepted = self._propose(min(wanted, self._pool_size - self.proposals), tracker, clock, blocked, resting)
            drawn = _first_appearances(np.concatenate([drawn, accepted]))
            acceptance = max(drawn.size, 1) / self.proposals
        self.scanned = drawn.size < n
        if self.scanned:
            drawn = np.concatenate([drawn, self._scan(n, drawn, tracker, clock, blocked, resting)])
        return drawn[:n]

    def _propose(
        self, count: int, tracker: ValueTracker, clock: float, blocked: BoolArray | None, resting: BoolArray | None
    ) -> IntArray:
        """Independent weighted draws with replacement, from `count` uniform proposals."""
        self.proposals += count
        slots = self._rng.integers(self._pool_size, size=count)
        accepted = self._rng.random(count) * self._bound < self.weights(tracker, clock, slots, resting)
        if blocked is not None:
            accepted &= ~blocked[slots]
        return slots[accepted]

    def _scan(
        self,
        n: int,
        drawn: IntArray,
        tracker: ValueTracker,
        clock: float,
        blocked: BoolArray | None,
        resting: BoolArray | None,
    ) -> IntArray:
        """The remaining `n - len(drawn)` draws: exponential clocks, as fast as the weights, ring in this order.

        Prompts that are to be passed over come after all others.
        """
        weights, passed_over = self._weigh_all(n, tracker, clock, blocked, resting)
        weights[drawn] = 0.0
        rest = np.flatnonzero(weights)
        rings = self._rng.standard_exponential(rest.size) / weights[rest]
        back = passed_over[rest]
        passing = rest[~back][smallest(rings[~back], n - drawn.size)]
        called_back = rest[back][smallest(rings[back], n - drawn.size - passing.size)]
        self.called_back = called_back.size
        return np.concatenate([passing, called_back])

    def _evenly(
        self,
        owed: Credits,
        n: int,
        tracker: ValueTracker,
        clock: float,
        blocked: BoolArray | None,
        resting: BoolArray | None,
    ) -> IntArray:
        """The `n` prompts that are owed most draws; those that are to be passed over come after all others."""
        self.scanned = True
        weights, passed_over = self._weigh_all(n, tracker, clock, blocked, resting)
        drawn = owed.draw(n, weights, passed_over)
        self.called_back = int(passed_over[drawn].sum())
        return drawn

    def _weigh_all(
        self, n: int, tracker: ValueTracker, clock: float, blocked: BoolArray | None, resting: BoolArray | None
    ) -> tuple[FloatArray, BoolArray]:
        """`_weigh` of the whole pool, of which `n` have to be drawn: 0 for those in flight."""
        weights, passed_over = self._weigh(tracker, clock, None, resting)
        if blocked is not None:
            weights[blocked] = 0.0
        eligible = int(np.count_nonzero(weights))
        if eligible < n:
            raise SPOError(self._too_few(n, eligible, blocked))
        return weights, passed_over

    def _too_few(self, n: int, eligible: int, blocked: BoolArray | None) -> str:
        in_flight = 0 if blocked is None else int(blocked.sum())
        weightless = self._pool_size - eligible - in_flight
        return (
            f"{n} prompts wanted, but only {eligible} of {self._pool_size} can be drawn: {in_flight} are in flight "
            f"and {weightless} have no weight with spo.epsilon={self._epsilon:g}; draw fewer (data.train_batch_size), "
            "set spo.epsilon above 0 or add prompts"
        )

    def metrics(self) -> dict[str, float]:
        """For the training log."""
        return {
            "spo/draw_proposals": float(self.proposals),
            "spo/draw_scanned": float(self.scanned),
            "spo/draw_called_back": float(self.called_back),
        }

    def credits(self) -> dict[str, np.ndarray]:
        """What `even` draws owe, by name; nothing for other draws."""
        return {} if self._credits is None else self._credits.state_dict()

    def load_credits(self, state: Mapping[str, Any]) -> None:
        """Owe again what `credits` said.

        Raises:
            CheckpointError: Draws of the one kind were even, and those of the other are not; or another pool size.
        """
        if self._credits is None:
            require_fields("draws that are not even", state, ())
        else:
            self._credits.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """The state of the random numbers, ready for JSON."""
        return {"pool_size": self._pool_size, "rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            CheckpointError: Other fields, another pool size or another generator.
        """
        current = self.state_dict()
        require_fields("prompt sampler", state, current)
        require_equal("prompt sampler", "pool_size", state["pool_size"], self._pool_size)
        require_fields("prompt sampler's generator", state["rng"], current["rng"])
        require_equal("prompt sampler", "generator", state["rng"]["bit_generator"], current["rng"]["bit_generator"])
        self._rng.bit_generator.state = state["rng"]


def _first_appearances(slots: IntArray) -> IntArray:
    """`slots` without repeats, in order of first appearance."""
    _, first = np.unique(slots, return_index=True)
    return slots[np.sort(first)]
