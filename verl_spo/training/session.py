"""One run's SPO state, and its life: dispatch -> complete -> publish -> checkpoint -> restore.

Contract: a baseline is frozen when its prompt is dispatched; a trajectory counts once, in dispatch order whatever the
order of arrival; whatever decides the future is in `state()`, so a restored session continues bit for bit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

import numpy as np

from verl_spo.config import SPOConfig
from verl_spo.core.advantage import normalize
from verl_spo.core.baseline import make_baseline
from verl_spo.core.histogram import ValueHistogram
from verl_spo.core.retention import make_retention
from verl_spo.core.rewards import RewardScale
from verl_spo.core.sampling import PromptSampler
from verl_spo.core.state import require_fields
from verl_spo.core.tracker import ValueTracker
from verl_spo.training.previous import PreviousResponses


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
class Outcomes:
    """Finished trajectories as verl reports them, one entry a session, in any order.

    Attributes:
        uids: Their requests.
        rewards: (n,) in the data's own range.
        lengths: (n,) int64, tokens that the model generated.
        versions: (n,) int64, the oldest policy version that generated them.
        kl: (n,) nats a token, policy change on the prompt's previous response; NaN where there is none.
        energies: (n,), gradient energy (core/baseline.py); NaN where the session's baseline does not need it.
    """

    uids: list[str]
    rewards: np.ndarray
    lengths: np.ndarray
    versions: np.ndarray
    kl: np.ndarray
    energies: np.ndarray


@dataclass(frozen=True)
class Completion:
    """What became of a batch of outcomes; every array in dispatch order, (n,).

    Attributes:
        uids: Requests.
        slots: Prompts.
        rewards: In [0, 1].
        lengths: Tokens that the model generated.
        versions: Policy versions.
        kl: Policy change on the previous response, NaN where unknown.
        baselines: Frozen at dispatch.
        raw_advantages: rewards - baselines.
        advantages: Normalized.
        rho: Retention that each observation met.
    """

    uids: list[str]
    slots: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    versions: np.ndarray
    kl: np.ndarray
    baselines: np.ndarray
    raw_advantages: np.ndarray
    advantages: np.ndarray
    rho: np.ndarray

    def by_uid(self) -> dict[str, float]:
        """Normalized advantage of each request."""
        return dict(zip(self.uids, self.advantages.tolist(), strict=True))

    @classmethod
    def none(cls) -> "Completion":
        """No trajectory at all."""
        integers = dict.fromkeys(("slots", "lengths", "versions"), np.zeros(0, dtype=np.int64))
        return cls(uids=[], **{name: integers.get(name, np.zeros(0)) for name in _ARRAYS})

    @classmethod
    def joined(cls, parts: Sequence["Completion"]) -> "Completion":
        """The completions of one training step as one."""
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        return cls(uids=[uid for part in parts for uid in part.uids], **arrays)


_ARRAYS = tuple(field.name for field in fields(Completion) if field.name != "uids")


class Session:
    """SPO's state over one pool of prompts.

    Args:
        config: All options.
        tracker: Value of each slot at the start.
        batch_size: Prompts a step, `data.train_batch_size`.
        describe: Names a slot's prompt in messages.
    """

    def __init__(
        self, config: SPOConfig, tracker: ValueTracker, batch_size: int, describe: Callable[[int], str]
    ) -> None:
        self.config = config
        self.tracker = tracker
        self.baseline = make_baseline(config.baseline, config.prior, batch_size)
        self.retention = make_retention(config, pool_size=tracker.size, batch_size=batch_size)
        self.sampler = PromptSampler(
            tracker.size,
            kind=config.sampling,
            epsilon=config.epsilon,
            gamma=config.gamma,
            value_range=config.value_range,
            filter_min_n_eff=config.filter_min_n_eff,
            seed=config.seed,
        )
        self.histogram = ValueHistogram(tracker.value())
        self.previous = PreviousResponses(config.previous_tokens)
        self._describe = describe
        self._scale = RewardScale.of(config)
        self._in_flight: dict[str, tuple[int, float]] = {}
        self._blocked = np.zeros(tracker.size, dtype=bool)
        self._dispatched = 0

    @property
    def in_flight(self) -> list[str]:
        """Requests that were dispatched and neither completed nor released, oldest first."""
        return list(self._in_flight)

    def dispatch(self, n: int) -> Dispatch:
        """Draw n prompts that are not in flight, and freeze their baselines.

        Raises:
            SPOError: Fewer than n prompts may be drawn.
        """
        slots = self.sampler.draw(n, self.tracker, self.retention.clock, self._blocked)
        baselines = self.baseline.at(self.tracker.value(slots))
        uids = [self._new_uid() for _ in range(n)]
        self._in_flight.update(zip(uids, zip(slots.tolist(), baselines.tolist(), strict=True), strict=True))
        self._blocked[slots] = True
        return Dispatch(uids, slots, baselines)

    def slots_of(self, uids: Iterable[str]) -> np.ndarray:
        """Prompts of requests in flight, (n,) int64."""
        return np.array([self._in_flight[uid][0] for uid in uids], dtype=np.int64)

    def release(self, uids: Iterable[str]) -> int:
        """Forget requests that failed or were evicted: neither success nor failure. Returns how many there were."""
        slots = [self._in_flight.pop(uid)[0] for uid in uids]
        self._blocked[slots] = False
        return len(slots)

    def complete(self, outcomes: Outcomes, step: int) -> Completion:
        """Turn outcomes into advantages, and their evidence into the tracker.

        Raises:
            RewardError: A reward is NaN or outside `spo.reward_low` .. `spo.reward_high`.
        """
        order = self._dispatch_order(outcomes.uids)
        uids = [outcomes.uids[i] for i in order]
        slots = self.slots_of(uids)
        baselines = np.array([self._in_flight[uid][1] for uid in uids], dtype=np.float64)
        rewards = self.scale_rewards(outcomes.rewards[order], slots)
        lengths, versions, kl = outcomes.lengths[order], outcomes.versions[order], outcomes.kl[order]
        energies = outcomes.energies[order] if self.baseline.needs_energies else None
        advantages = normalize(rewards - baselines, lengths, self.config.normalization, centre=energies)
        self.baseline.observe(self.tracker.value(slots), rewards, energies)
        rho = self.retention.observe(self.tracker, slots, rewards, versions, kl, step)
        self.histogram.update(slots, self.tracker.value(slots))
        self.release(uids)
        return Completion(uids, slots, rewards, lengths, versions, kl, baselines, rewards - baselines, advantages, rho)

    def scale_rewards(self, rewards: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Rewards (n,) of prompts (n,), in [0, 1].

        Raises:
            RewardError: One is NaN or outside `spo.reward_low` .. `spo.reward_high`.
        """
        return self._scale.scale(rewards, lambda i: self._describe(int(slots[i])))

    def start_from(self, tracker: ValueTracker) -> None:
        """Replace the tracker before the first step."""
        self.tracker = tracker
        self.histogram = ValueHistogram(tracker.value())

    def publish(self, drift: float | None) -> None:
        """Note that a new policy version is about to generate.

        Args:
            drift: How far the step's update moved the policy, nats a token; None where it was not measured.
        """
        self.retention.publish(drift)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything that decides the future: arrays, and JSON-able values."""
        arrays = {f"tracker.{name}": array for name, array in self.tracker.state_dict().items()}
        arrays |= {f"retention.{name}": array for name, array in self.retention.state_dict().items()}
        arrays |= {f"baseline.{name}": array for name, array in self.baseline.state_dict().items()}
        arrays |= {f"previous.{name}": array for name, array in self.previous.state_dict().items()}
        values = {
            "sampler": self.sampler.state_dict(),
            "in_flight": self._in_flight,
            "dispatched": self._dispatched,
        }
        return arrays, values

    def restore(self, arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
            CheckpointError: The state has other fields or other shapes.
        """
        require_fields("SPO session", values, ("sampler", "in_flight", "dispatched"))
        self.tracker.load_state_dict(_part(arrays, "tracker."))
        self.retention.load_state_dict(_part(arrays, "retention."))
        self.baseline.load_state_dict(_part(arrays, "baseline."))
        self.previous.load_state_dict(_part(arrays, "previous."))
        self.sampler.load_state_dict(values["sampler"])
        self.histogram = ValueHistogram(self.tracker.value())
        self._in_flight = {uid: (int(slot), float(baseline)) for uid, (slot, baseline) in values["in_flight"].items()}
        self._blocked[:] = False
        self._blocked[self.slots_of(self._in_flight)] = True
        self._dispatched = int(values["dispatched"])

    def _new_uid(self) -> str:
        """Reproducible, so that a seeded rollout can be; without "_", which ends the uid in verl's keys."""
        self._dispatched += 1
        return blake2b(f"{self.config.seed}/{self._dispatched}".encode(), digest_size=16).hexdigest()

    def _dispatch_order(self, uids: list[str]) -> list[int]:
        position = {uid: i for i, uid in enumerate(uids)}
        return [position[uid] for uid in self._in_flight if uid in position]


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
