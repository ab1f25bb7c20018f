"""Retention: how fast a prompt's evidence ages as the policy moves. One contract for all four kinds.

- `constant`: every visit keeps `rho`.
- `kl` ([SPO] section 4): a visit keeps `2 ** (-D / d_half)`, clipped, D being the change of the policy on the prompt's
  previous response. Needs one more log-prob pass per step.
- `event` ([SPO++] section 2.2): every weight publication keeps `rho`, whichever prompts were visited.
- `drift` (neither paper's): event time whose step follows how far the update moved the policy on its own batch, which
  PPO's mini-batches reveal without another pass.

[SPO++] was run with a pool as large as the batch. In a larger one a prompt comes back every pool / batch events, and
full steps would forget it in between: event time is therefore scaled by batch / pool, unless `event_step` asks for the
published step.
"""

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping
from typing import ClassVar, assert_never

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.config import SPOConfig
from verl_spo.core.arrays import FloatArray, IntArray, as_floats, as_ints
from verl_spo.core.state import require_fields
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import SPOError


class Retention(ABC):
    """The contract. Here also the state of the kinds that age by visits: none.

    Attributes:
        needs_policy_change: `observe` wants D for each observation.
        needs_versions: `observe` looks at the policy versions of the outcomes.
        needs_update_change: `publish` wants to know how far the update moved the policy.
    """

    needs_policy_change: ClassVar[bool] = False
    needs_versions: ClassVar[bool] = False
    needs_update_change: ClassVar[bool] = False

    @property
    def clock(self) -> float:
        """Event time of the policy published last; 0 for the kinds that age by visits."""
        return 0.0

    @abstractmethod
    def observe(
        self,
        tracker: ValueTracker,
        slots: ArrayLike,
        rewards: ArrayLike,
        versions: ArrayLike,
        policy_change: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        """Add a batch's outcomes to the tracker.

        Args:
            tracker: Changed in place.
            slots: (n,).
            rewards: (n,), in [0, 1].
            versions: Policy version that generated each outcome, (n,); 0 is the initial policy.
            policy_change: On the prompt's previous response, nats per token, (n,); NaN where there is none, or it was
                forgotten. Only for `needs_policy_change`.
            step: Training step.

        Returns:
            The share of a prompt's earlier evidence that each observation kept, (n,), in (0, 1].
        """

    def publish(self, change: float | None = None) -> None:  # noqa: B027 - kinds that age by visits have nothing to note
        """Note one weight publication, and the change by its update, nats per token: only for `needs_update_change`."""

    def metrics(self) -> dict[str, float]:
        """For the training log."""
        return {}

    def state_dict(self) -> dict[str, np.ndarray]:
        """What a checkpoint must hold."""
        return {}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            CheckpointError: The state belongs to another kind of retention.
        """
        require_fields(f"retention {type(self).__name__}", state, self.state_dict())


class Constant(Retention):
    """Every visit keeps `rho`."""

    def __init__(self, rho: float) -> None:
        self._rho = rho

    def observe(
        self,
        tracker: ValueTracker,
        slots: ArrayLike,
        rewards: ArrayLike,
        versions: ArrayLike,
        policy_change: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        tracker.observe(slots, rewards, self._rho, step)
        return np.full(as_ints(slots).shape, self._rho)


class KL(Retention):
    """A visit keeps `2 ** (-D / d_half)`, clipped to [rho_min, rho_max]; a first visit has D = 0.

    Where the previous response is forgotten, D is the steps since then at the pace of the known ones. Changes of
    successive steps add up at most (the triangle inequality), and what is forgotten is older than what is known: this D
    errs upwards, towards rho_min, which is all that could be said without it.
    """

    needs_policy_change = True

    def __init__(self, d_half: float, rho_min: float, rho_max: float) -> None:
        self._d_half, self._rho_min, self._rho_max = d_half, rho_min, rho_max
        # Nats per token and step, over the known ones of the latest batch with any; before it, nothing vouches for D.
        self._pace = math.inf

    def observe(
        self,
        tracker: ValueTracker,
        slots: ArrayLike,
        rewards: ArrayLike,
        versions: ArrayLike,
        policy_change: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        if policy_change is None:
            raise SPOError(
                "policy_change=None: spo.retention=kl needs the policy change on each prompt's previous response "
                "(core.policy_change.mean_change), NaN where there is none; or set another spo.retention"
            )
        change = self._completed(as_floats(policy_change), tracker.steps_since(slots, step))
        rho = np.clip(np.exp2(-change / self._d_half), self._rho_min, self._rho_max)
        tracker.observe(slots, rewards, rho, step)
        return rho

    def _completed(self, change: FloatArray, steps: IntArray) -> FloatArray:
        """D of all, (n,), from those that are not NaN and the steps since the prompts' last visits, 0 at the first."""
        known = ~np.isnan(change) & (steps > 0)
        if known.any():
            self._pace = float(change[known].sum() / steps[known].sum())
        since = np.multiply(steps, self._pace, out=np.zeros(steps.shape), where=steps > 0)
        return np.where(np.isnan(change), since, change)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"pace": np.array(self._pace)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        super().load_state_dict(state)
        self._pace = float(state["pace"])


class Event(Retention):
    """Event time: each publication moves the clock by a fixed `step` of at least 0 ([SPO++] section 2.2)."""

    needs_versions = True

    def __init__(self, step: float) -> None:
        self._step = step
        # Every version's event time stays known: an outcome may come back long after its policy was replaced.
        self._z = array("d", [0.0])

    @property
    def clock(self) -> float:
        return self._z[-1]

    def observe(
        self,
        tracker: ValueTracker,
        slots: ArrayLike,
        rewards: ArrayLike,
        versions: ArrayLike,
        policy_change: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        z = np.frombuffer(self._z)[as_ints(versions)]
        rho: FloatArray = np.exp(-np.maximum(z - tracker.z[as_ints(slots)], 0.0))
        tracker.observe_at(slots, rewards, z, step)
        return rho

    def publish(self, change: float | None = None) -> None:
        self._z.append(self.clock + self._advance(change))

    def _advance(self, change: float | None) -> float:
        return self._step

    def metrics(self) -> dict[str, float]:
        latest = self._z[-1] - self._z[-2] if len(self._z) > 1 else 0.0
        return {"spo/clock": self.clock, "spo/event_step": latest}

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"z": np.array(self._z)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        super().load_state_dict(state)
        self._z = array("d", as_floats(state["z"]).tolist())


class Drift(Event):
    """Event time whose step is `log(2) * D / d_half`, clipped to [-log(rho_max), -log(rho_min)], times `scale`.

    D is the change by the update; NaN, which could not be measured, repeats the step before.
    """

    needs_update_change = True

    def __init__(self, d_half: float, rho_min: float, rho_max: float, scale: float) -> None:
        super().__init__(step=0.0)
        self._d_half, self._scale = d_half, scale
        self._least, self._most = -math.log(rho_max), -math.log(rho_min)

    def _advance(self, change: float | None) -> float:
        if change is None:
            raise SPOError(
                "change=None: spo.retention=drift needs how far the update moved the policy; set "
                "actor_rollout_ref.actor.policy_loss.loss_mode=spo, or another spo.retention"
            )
        if math.isnan(change):
            # So few sessions came back that one mini-batch held them.
            return self._z[-1] - self._z[-2] if len(self._z) > 1 else self._least * self._scale
        return min(max(math.log(2) * change / self._d_half, self._least), self._most) * self._scale


def make_retention(options: SPOConfig, pool_size: int, batch_size: int) -> Retention:
    """The retention that `options` ask for, in a pool of P prompts of which a step visits `batch_size`."""
    scale = 1.0 if options.event_step == "published" else min(1.0, batch_size / pool_size)
    match options.retention:
        case "constant":
            return Constant(options.rho)
        case "kl":
            return KL(options.d_half, options.rho_min, options.rho_max)
        case "event":
            return Event(-math.log(options.rho) * scale)
        case "drift":
            return Drift(options.d_half, options.rho_min, options.rho_max, scale)
    assert_never(options.retention)
