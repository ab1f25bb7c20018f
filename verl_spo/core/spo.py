"""SPO itself, for a loop of any trainer: dispatch -> complete -> publish, and a state that a checkpoint holds.

Contract: a baseline is frozen when its prompt is dispatched; a trajectory counts once, in dispatch order whatever the
order of arrival; whatever decides the future is in `state_dict()`, so what is loaded continues bit for bit.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.config import SPOConfig
from verl_spo.core.arrays import FloatArray, IntArray, as_floats, as_ints
from verl_spo.core.baseline import make_baseline
from verl_spo.core.branching import adapted
from verl_spo.core.failures import Failures
from verl_spo.core.histogram import ValueHistogram
from verl_spo.core.normalizer import Normalizer
from verl_spo.core.previous_responses import PreviousResponses
from verl_spo.core.retention import make_retention
from verl_spo.core.rewards import RewardScale
from verl_spo.core.sampling import PromptSampler
from verl_spo.core.state import require_fields
from verl_spo.core.tracker import ValueTracker
from verl_spo.errors import SPOError


@dataclass(frozen=True)
class Dispatch:
    """Prompts sent to generate, one response each.

    Attributes:
        uids: New identity of each request.
        slots: (n,) int64.
        baselines: (n,) float64, as they are at this moment.
    """

    uids: list[str]
    slots: np.ndarray
    baselines: np.ndarray


@dataclass(frozen=True)
class Completion:
    """What became of a batch of outcomes; every array in dispatch order, (n,).

    Attributes:
        uids: Requests.
        slots: Prompts.
        rewards: In [0, 1].
        lengths: Tokens that the model generated.
        versions: Policy versions.
        policy_change: On the previous response, nats per token; NaN where unknown.
        baselines: Frozen at dispatch.
        raw_advantages: rewards - baselines.
        advantages: Normalized.
        rho: Retention that each observation met.
        clipped: Whether the reward lay outside its range.
    """

    uids: list[str]
    slots: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    versions: np.ndarray
    policy_change: np.ndarray
    baselines: np.ndarray
    raw_advantages: np.ndarray
    advantages: np.ndarray
    rho: np.ndarray
    clipped: np.ndarray

    def by_uid(self) -> dict[str, float]:
        """Normalized advantage of each request."""
        return dict(zip(self.uids, self.advantages.tolist(), strict=True))

    @classmethod
    def none(cls) -> "Completion":
        """No trajectory at all."""
        others = dict.fromkeys(("slots", "lengths", "versions"), np.zeros(0, dtype=np.int64))
        others["clipped"] = np.zeros(0, dtype=np.bool_)
        return cls(uids=[], **{name: others.get(name, np.zeros(0)) for name in _ARRAYS})

    @classmethod
    def joined(cls, parts: Sequence["Completion"]) -> "Completion":
        """The completions of one training step as one."""
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        return cls(uids=[uid for part in parts for uid in part.uids], **arrays)


_ARRAYS = tuple(field.name for field in fields(Completion) if field.name != "uids")


class SPO:
    """SPO over one pool of prompts, for a loop of any trainer: dispatch, complete, publish.

    Args:
        config: All options; those about verl and the store are not looked at.
        pool_size: Prompts P in the pool. A prompt is known by its slot, in [0, P).
        batch_size: Prompts per step.
        tracker: Value of each slot at the start; by default `config.prior` everywhere.
        describe: Names a slot's prompt in messages.
        in_parts: Whether a step calls `complete` more than once. All its parts are then normalized by the mean and
            deviation of the steps before (core/normalizer.py), since what comes back first is short.
    """

    def __init__(
        self,
        config: SPOConfig,
        *,
        pool_size: int,
        batch_size: int,
        tracker: ValueTracker | None = None,
        describe: Callable[[int], str] = str,
        in_parts: bool = False,
    ) -> None:
        self.config = config
        self.tracker = tracker or ValueTracker.from_value(pool_size, config.prior, config.prior_n_eff)
        if self.tracker.size != pool_size:
            raise SPOError(f"pool_size={pool_size}: the tracker has {self.tracker.size} prompts; give it as many")
        self.baseline = make_baseline(config.baseline, config.prior, batch_size)
        self.normalizer = Normalizer(config.normalization, batch_size, in_parts)
        self.retention = make_retention(config, pool_size, batch_size)
        self.sampler = PromptSampler(
            pool_size,
            kind=config.sampling,
            epsilon=config.epsilon,
            gamma=config.gamma,
            value_range=config.value_range,
            filter_min_n_eff=config.filter_min_n_eff,
            seed=config.seed,
        )
        self.failures = Failures(pool_size, batch_size)
        self.histogram = ValueHistogram(self.tracker.value())
        self.previous = PreviousResponses(config.previous_tokens)
        self._describe = describe
        self._scale = RewardScale.of(config)
        self._in_flight: dict[str, tuple[int, float]] = {}
        self._requests = np.zeros(pool_size, dtype=np.int64)
        self._blocked = np.zeros(pool_size, dtype=bool)
        self._dispatched = 0
        self._published = 0

    @property
    def in_flight(self) -> list[str]:
        """Requests that were dispatched and neither completed nor released, oldest first."""
        return list(self._in_flight)

    def dispatch(self, n: int | None = None, *, slots: ArrayLike | None = None) -> Dispatch:
        """Choose prompts, and freeze their baselines.

        Args:
            n: Draw so many prompts that are not in flight, as `config.sampling` says.
            slots: Or take these, (n,), which a loop has chosen by itself.

        Raises:
            SPOError: Fewer than n prompts may be drawn, a slot is not of the pool, or both `n` and `slots` are given.
        """
        if (n is None) == (slots is None):
            raise SPOError(f"dispatch(n={n!r}, slots={slots!r}): give one of them, how many prompts or which")
        chosen = self._draw(n) if n is not None else self._known(slots if slots is not None else ())
        baselines = self.baseline.at(self.tracker.value(chosen))
        uids = [self._new_uid() for _ in range(chosen.size)]
        self._in_flight.update(zip(uids, zip(chosen.tolist(), baselines.tolist(), strict=True), strict=True))
        self._count(chosen, 1)
        return Dispatch(uids, chosen, baselines)

    def slots_of(self, uids: Iterable[str]) -> np.ndarray:
        """Prompts of requests in flight, (n,) int64."""
        return np.array([self._in_flight[uid][0] for uid in uids], dtype=np.int64)

    def release(self, uids: Iterable[str]) -> int:
        """Forget requests that failed or were evicted: neither success nor failure. Returns how many there were.

        A prompt of which this is said again and again is passed over for a while (core/failures.py).

        Raises:
            SPOError: One is not in flight, or is named twice.
        """
        slots = self._land(uids)
        self.failures.note(slots, self._published)
        return slots.size

    def complete(
        self,
        uids: Sequence[str],
        rewards: ArrayLike,
        lengths: ArrayLike | None = None,
        *,
        versions: ArrayLike | None = None,
        policy_change: ArrayLike | None = None,
        squared_norms: ArrayLike | None = None,
        step: int | None = None,
    ) -> Completion:
        """Turn finished trajectories into advantages, and their evidence into the tracker.

        One entry per request, in any order; what comes back is in the order of dispatch. A request for which the model
        generated no token is released, and not in what comes back: its reward says nothing about the policy.

        Args:
            uids: Requests in flight.
            rewards: (n,), in the reward function's own range.
            lengths: Tokens that the model generated, (n,). May be left out unless `spo.normalization=token`.
            versions: Policy versions that generated the responses, (n,): how many publications there had been. By
                default the present one.
            policy_change: Of the present policy on the prompt's previous response, nats per token, (n,); NaN where it
                has none, or it was forgotten. Only for `retention.needs_policy_change`.
            squared_norms: `core.baseline.squared_gradient_norm` of the responses, (n,). Only for
                `baseline.needs_squared_norms`.
            step: Number of the training step, for the record, and for `kl` the time since a prompt's last visit. By
                default one more than there were publications.

        Raises:
            RewardError: A reward is NaN, or outside `spo.reward_low` .. `spo.reward_high` and not to be clipped.
            SPOError: An argument is missing that the options need, or has another length than `uids`; a request is not
                in flight, or is named twice.
        """
        given = {
            "rewards": rewards,
            "lengths": lengths,
            "versions": versions,
            "policy_change": policy_change,
            "squared_norms": squared_norms,
        }
        arrays = {name: _per_uid(name, values, len(uids)) for name, values in given.items() if values is not None}
        self._require(arrays)
        finished, own = self._finished(uids, arrays)
        slots, baselines = self.slots_of(finished), np.array([self._in_flight[uid][1] for uid in finished], np.float64)
        scaled = self.scale_rewards(own["rewards"], slots)
        published, change = self._versions(own, len(finished)), own.get("policy_change")
        advantages = self._advantages(scaled, baselines, self.tracker.value(slots), own)
        number = self._published + 1 if step is None else step
        rho = self.retention.observe(self.tracker, slots, scaled, published, change, number)
        self.histogram.update(slots, self.tracker.value(slots))
        self._take(finished, slots)
        self.failures.clear(slots)
        if len(finished) < len(uids):
            self.release(uid for uid in uids if uid in self._in_flight)
        return Completion(
            uids=finished,
            slots=slots,
            rewards=scaled,
            lengths=as_ints(own["lengths"]),
            versions=published,
            policy_change=np.full(slots.size, np.nan) if change is None else change,
            baselines=baselines,
            raw_advantages=scaled - baselines,
            advantages=advantages,
            rho=rho,
            clipped=self._scale.outside(own["rewards"]),
        )

    def scale_rewards(self, rewards: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Rewards (n,) of prompts (n,), in [0, 1].

        Raises:
            RewardError: One is NaN, or outside `spo.reward_low` .. `spo.reward_high` and not to be clipped.
        """
        return self._scale.scale(rewards, lambda i: self._describe(int(slots[i])))

    def start_from(self, tracker: ValueTracker) -> None:
        """Replace the tracker before the first step."""
        self.tracker = tracker
        self.histogram = ValueHistogram(tracker.value())

    def publish(self, change: float | None = None) -> None:
        """Note that a new policy version is about to generate.

        Args:
            change: How far the step's update moved the policy, nats per token (`core.policy_change.update_change`).
                Only for `retention.needs_update_change`.

        Raises:
            SPOError: It is missing.
        """
        self.retention.publish(change)
        self.normalizer.publish()
        self._published += 1
        self.failures.wake(self._published)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the future, by name: numpy arrays, and values that JSON can hold."""
        return {
            **{f"tracker.{name}": array for name, array in self.tracker.state_dict().items()},
            **{f"retention.{name}": array for name, array in self.retention.state_dict().items()},
            **{f"baseline.{name}": array for name, array in self.baseline.state_dict().items()},
            **{f"normalizer.{name}": array for name, array in self.normalizer.state_dict().items()},
            **{f"failures.{name}": array for name, array in self.failures.state_dict().items()},
            **{f"previous.{name}": array for name, array in self.previous.state_dict().items()},
            **{f"credits.{name}": array for name, array in self.sampler.credits().items()},
            "sampler": self.sampler.state_dict(),
            "in_flight": {uid: list(kept) for uid, kept in self._in_flight.items()},
            "dispatched": self._dispatched,
            "published": self._published,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue bit for bit where `state_dict` was taken.

        Raises:
            CheckpointError: The state has other fields or other shapes.
        """
        own = [name for name in state if "." not in name]
        require_fields("SPO", dict.fromkeys(own), ("sampler", "in_flight", "dispatched", "published"))
        self.tracker.load_state_dict(_part(state, "tracker."))
        self.retention.load_state_dict(_part(state, "retention."))
        self.baseline.load_state_dict(_part(state, "baseline."))
        self.normalizer.load_state_dict(_part(state, "normalizer."))
        self.failures.load_state_dict(_part(state, "failures."))
        self.previous.load_state_dict(_part(state, "previous."))
        self.sampler.load_credits(_part(state, "credits."))
        self.sampler.load_state_dict(state["sampler"])
        self.histogram = ValueHistogram(self.tracker.value())
        self._in_flight = {uid: (int(slot), float(baseline)) for uid, (slot, baseline) in state["in_flight"].items()}
        self._requests[:] = 0
        self._blocked[:] = False
        self._count(self.slots_of(self._in_flight), 1)
        self._dispatched = int(state["dispatched"])
        self._published = int(state["published"])

    def branch_from(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a run on the same pool whose options may have been others (core/branching.py).

        Raises:
            CheckpointError: The pool is another one.
        """
        self.load_state_dict(adapted(state, self.state_dict()))
        if not self.retention.needs_policy_change:
            self.previous = PreviousResponses(self.config.previous_tokens)

    def _draw(self, n: int) -> IntArray:
        return self.sampler.draw(n, self.tracker, self.retention.clock, self._blocked, self.failures.resting)

    def _known(self, slots: ArrayLike) -> IntArray:
        chosen = as_ints(slots)
        if outside := chosen[(chosen < 0) | (chosen >= self.tracker.size)].tolist():
            raise SPOError(f"slots: {outside[0]} is not in [0, {self.tracker.size}), the prompts of the pool")
        return chosen

    def _require(self, given: Collection[str]) -> None:
        """Ask for what the options need before anything changes."""
        needed = {
            "lengths": ("spo.normalization=token", self.config.normalization == "token"),
            "policy_change": (f"spo.retention={self.config.retention}", self.retention.needs_policy_change),
            "squared_norms": (f"spo.baseline={self.config.baseline}", self.baseline.needs_squared_norms),
        }
        for name, (option, wanted) in needed.items():
            if wanted and name not in given:
                raise SPOError(f"{name}=None: {option} needs it, one number per request; or choose another option")

    def _finished(
        self, uids: Sequence[str], arrays: Mapping[str, FloatArray]
    ) -> tuple[list[str], dict[str, FloatArray]]:
        """Requests with a generated token and what was given of them, in the order of dispatch."""
        lengths = arrays.get("lengths", np.ones(len(uids)))
        order = as_ints(self._dispatch_order(uids))
        order = order[lengths[order] > 0]
        own = {name: values[order] for name, values in {**arrays, "lengths": lengths}.items()}
        return [uids[place] for place in order.tolist()], own

    def _versions(self, own: Mapping[str, FloatArray], n: int) -> IntArray:
        versions = as_ints(own["versions"]) if "versions" in own else np.full(n, self._published)
        if self.retention.needs_versions and not ((versions >= 0) & (versions <= self._published)).all():
            raise SPOError(f"versions: {versions.tolist()}, but there were {self._published} publications")
        return versions

    def _advantages(
        self, rewards: FloatArray, baselines: FloatArray, values: FloatArray, own: Mapping[str, FloatArray]
    ) -> FloatArray:
        """Normalized advantages, from which the baseline has not learnt: it has now."""
        squared_norms = own.get("squared_norms")
        self.baseline.observe(values, rewards, squared_norms)
        centre = squared_norms if self.baseline.needs_squared_norms else None
        return self.normalizer.normalize(rewards - baselines, as_ints(own["lengths"]), centre)

    def _new_uid(self) -> str:
        """Reproducible, so that a seeded rollout can be; without "_", which ends the uid in verl's keys."""
        self._dispatched += 1
        return blake2b(f"{self.config.seed}/{self._dispatched}".encode(), digest_size=16).hexdigest()

    def _dispatch_order(self, uids: Sequence[str]) -> list[int]:
        places = self._places(uids)
        return [places[uid] for uid in self._in_flight if uid in places]

    def _places(self, uids: Sequence[str]) -> dict[str, int]:
        """Where each request stands, all of them being in flight."""
        places = {uid: place for place, uid in enumerate(uids)}
        if len(places) < len(uids):
            raise SPOError(f"uids: {len(uids)} of them, but only {len(places)} different; a request completes once")
        if strangers := places.keys() - self._in_flight.keys():
            raise SPOError(
                f"uids: {min(strangers)!r} is not in flight: it was completed or released, or never dispatched"
            )
        return places

    def _land(self, uids: Iterable[str]) -> IntArray:
        """Take requests out of flight, all of which must be in it; their prompts, (n,)."""
        landing = list(self._places(list(uids)))
        slots = self.slots_of(landing)
        self._take(landing, slots)
        return slots

    def _take(self, uids: Iterable[str], slots: IntArray) -> None:
        for uid in uids:
            del self._in_flight[uid]
        self._count(slots, -1)

    def _count(self, slots: IntArray, by: int) -> None:
        """Note requests of prompts, which are not drawn while there is one."""
        np.add.at(self._requests, slots, by)
        self._blocked[slots] = self._requests[slots] > 0


def _per_uid(name: str, given: ArrayLike, n: int) -> FloatArray:
    """An argument as an array, one entry per uid."""
    values = as_floats(given)
    if values.shape != (n,):
        raise SPOError(f"{name}: shape {values.shape}, but there are {n} uids; give one entry per uid")
    return values


def _part(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
