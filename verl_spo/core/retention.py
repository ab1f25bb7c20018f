"""Retention: how fast a prompt's evidence ages as the policy moves. One contract for all four kinds.

- `constant`: every visit keeps `rho`.
- `kl` ([SPO] section 4): a visit keeps `2 ** (-D / d_half)`, clipped, D being the change of the policy on the prompt's
  previous response. Needs one more log-prob pass a step.
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
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import FloatArray, as_floats, as_ints
from verl_spo.core.state import require_fields
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import ConfigError, SPOError


class RetentionOptions(Protocol):
    """The options that choose a retention; `verl_spo.config.SPOConfig` has them, with ranges."""

    @property
    def retention(self) -> str: ...
    @property
    def rho(self) -> float: ...
    @property
    def rho_min(self) -> float: ...
    @property
    def rho_max(self) -> float: ...
    @property
    def d_half(self) -> float: ...
    @property
    def event_step(self) -> str: ...


class Retention(ABC):
    """The contract. Here also the state of the kinds that age by visits: none.

    Attributes:
        needs_kl: `observe` wants D for each observation.
        needs_drift: `publish` wants the drift of the update that it publishes.
    """

    needs_kl: ClassVar[bool] = False
    needs_drift: ClassVar[bool] = False

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
        kl: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        """Add a batch's outcomes to the tracker.

        Args:
            tracker: Changed in place.
            slots: (n,).
            rewards: (n,), in [0, 1].
            versions: Policy version that generated each outcome, (n,); 0 is the initial policy.
            kl: D in nats a token, (n,); NaN where there is no previous response. Only for `needs_kl`.
            step: Training step.

        Returns:
            The share of a prompt's earlier evidence that each observation kept, (n,), in (0, 1].
        """

    def publish(self, drift: float | None = None) -> None:  # noqa: B027 - kinds that age by visits have nothing to note
        """Note one weight publication; `drift` in nats a token, only for `needs_drift`."""

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
        kl: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        tracker.observe(slots, rewards, self._rho, step)
        return np.full(as_ints(slots).shape, self._rho)


class KL(Retention):
    """A visit keeps `2 ** (-D / d_half)`, clipped to [rho_min, rho_max]; a first visit has D = 0."""

    needs_kl = True

    def __init__(self, d_half: float, rho_min: float, rho_max: float) -> None:
        self._d_half, self._rho_min, self._rho_max = d_half, rho_min, rho_max

    def observe(
        self,
        tracker: ValueTracker,
        slots: ArrayLike,
        rewards: ArrayLike,
        versions: ArrayLike,
        kl: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        if kl is None:
            raise SPOError("kl=None: retention `kl` needs D for each observation, NaN without a previous response")
        change = np.nan_to_num(as_floats(kl), nan=0.0, posinf=np.inf)
        rho = np.clip(np.exp2(-change / self._d_half), self._rho_min, self._rho_max)
        tracker.observe(slots, rewards, rho, step)
        return rho


class Event(Retention):
    """Event time: each publication moves the clock by a fixed `step` of at least 0 ([SPO++] section 2.2)."""

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
        kl: ArrayLike | None,
        step: int,
    ) -> FloatArray:
        z = np.frombuffer(self._z)[as_ints(versions)]
        rho: FloatArray = np.exp(-np.maximum(z - tracker.z[as_ints(slots)], 0.0))
        tracker.observe_at(slots, rewards, z, step)
        return rho

    def publish(self, drift: float | None = None) -> None:
        self._z.append(self.clock + self._advance(drift))

    def _advance(self, drift: float | None) -> float:
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
    """Event time whose step is `log(2) * drift / d_half`, clipped to [-log(rho_max), -log(rho_min)], times `scale`.

    A drift of NaN, which could not be measured, repeats the step before.
    """

    needs_drift = True

    def __init__(self, d_half: float, rho_min: float, rho_max: float, scale: float) -> None:
        super().__init__(step=0.0)
        self._d_half, self._scale = d_half, scale
        self._least, self._most = -math.log(rho_max), -math.log(rho_min)

    def _advance(self, drift: float | None) -> float:
        if drift is None:
            raise SPOError(
                "drift=None: retention `drift` needs how far the update moved the policy; set "
                "actor_rollout_ref.actor.policy_loss.loss_mode=spo, or another spo.retention"
            )
        if math.isnan(drift):
            # So few sessions came back that one mini-batch held them.
            return self._z[-1] - self._z[-2] if len(self._z) > 1 else self._least * self._scale
        return min(max(math.log(2) * drift / self._d_half, self._least), self._most) * self._scale


def make_retention(options: RetentionOptions, pool_size: int, batch_size: int) -> Retention:
    """The retention that `options` ask for, in a pool of P prompts of which a step visits `batch_size`.

    Raises:
        ConfigError: Unknown kind.
    """
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
    raise ConfigError(f"spo.retention={options.retention!r}: must be one of kl, constant, event, drift")


def update_drift(mean_change: float, updates: int) -> float:
    """How far a step moved the policy on its own batch, in nats a token, without another forward pass.

    Mini-batch m (from 0) is scored after m of the step's optimizer updates, so its mean |log-prob change| grows about
    linearly with m, and the mean over all of them is (updates - 1) / (2 * updates) of the whole change.

    Args:
        mean_change: Mean over the mini-batches of the mean over tokens of |log pi - log pi_old|.
        updates: Optimizer updates of the step; several epochs count on.

    Returns:
        The estimate; NaN for fewer than two updates, which cannot show it.
    """
    return mean_change * 2 * updates / (updates - 1) if updates > 1 else math.nan
