"""The methods that are compared. Each chooses prompts, gives advantages, and is told how far the update went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.learning.lab.policy import Policy, Samples, Tokens
from verl_spo import SPO, SPOConfig
from verl_spo.core.advantage import explained_variance, normalize
from verl_spo.core.arrays import FloatArray, IntArray
from verl_spo.core.baseline import squared_gradient_norm
from verl_spo.core.policy_change import mean_change, update_change
from verl_spo.core.spo import Completion

GROUP = 8


@dataclass(frozen=True)
class Variant:
    """One variant of a method: a line of the tables.

    Attributes:
        method: `grpo`, `reinforce++`, `reinforce, optimal baseline`, or `spo` followed by what is changed of it:
            `, optimal baseline`, `, no baseline`, `, uniform sampling`, `, epochs`; of a batch in parts
            `, each part alone` or `, whole batch`: what the advantages are normalized over.
        retention: SPO's, or `event, published step`; None for the others.
        normalization: SPO's; None for the others.
    """

    method: str
    retention: str | None = None
    normalization: str | None = None

    @property
    def is_spo(self) -> bool:
        """Whether it is SPO, whole or in part."""
        return self.method.startswith("spo")

    @property
    def baseline(self) -> str:
        """SPO's option."""
        return "optimal" if "optimal baseline" in self.method else "value"


class Method(Protocol):
    """What the loop asks of a method."""

    def draw(self, n: int) -> IntArray:
        """The prompts of the next n trajectories, (n,)."""

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> FloatArray:
        """One scalar per trajectory, (n,); `parts` are the rows that arrive together."""

    def published(self, changes: list[float]) -> None:
        """The update is done; `changes` are what `update` returned."""

    def metrics(self) -> dict[str, float]:
        """Means over the run."""


class Epochs:
    """Prompts in epochs over the pool, shuffled anew, as a data loader deals them."""

    def __init__(self, pool_size: int, seed: int) -> None:
        self._rng, self._size = np.random.default_rng(seed), pool_size
        self._queue: IntArray = np.empty(0, dtype=np.int64)

    def take(self, n: int) -> IntArray:
        """The next `n` prompts."""
        while self._queue.size < n:
            self._queue = np.concatenate([self._queue, self._rng.permutation(self._size)])
        taken, self._queue = self._queue[:n], self._queue[n:]
        return taken


class GRPO:
    """Groups of 8 responses per prompt; the group's mean is the baseline, its deviation the scale."""

    def __init__(self, pool_size: int, seed: int) -> None:
        self._epochs = Epochs(pool_size, seed)

    def draw(self, n: int) -> IntArray:
        return np.repeat(self._epochs.take(n // GROUP), GROUP)

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> FloatArray:
        groups = rewards.reshape(-1, GROUP)
        centred = groups - groups.mean(1, keepdims=True)
        advantages: FloatArray = centred / (groups.std(1, ddof=1, keepdims=True) + 1e-6)
        return advantages.reshape(-1)

    def published(self, changes: list[float]) -> None:
        pass

    def metrics(self) -> dict[str, float]:
        return {}


class Reinforce:
    """REINFORCE++: one response per prompt, rewards whitened over the batch's tokens."""

    def __init__(self, pool_size: int, seed: int) -> None:
        self._epochs = Epochs(pool_size, seed)

    def draw(self, n: int) -> IntArray:
        return self._epochs.take(n)

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> FloatArray:
        return normalize(rewards, samples.tokens.lengths, "token")

    def published(self, changes: list[float]) -> None:
        pass

    def metrics(self) -> dict[str, float]:
        return {}


class OptimalReinforce(Reinforce):
    """REINFORCE with one baseline for all prompts: the one that leaves the least variance in the batch's gradient."""

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> FloatArray:
        return normalize(rewards, samples.tokens.lengths, "token", centre=squared_norms(samples))


class SPOMethod:
    """SPO as `options` ask, less what a variant takes away.

    Without `use_baseline` the tracker only chooses prompts; with `epochs` it does not choose them. A batch in parts is
    normalized as SPO does it, unless it is taken as a `whole`, or the parts `alone`.
    """

    def __init__(
        self, spo: SPO, policy: Policy, use_baseline: bool = True, epochs: Epochs | None = None, whole: bool = False
    ) -> None:
        self._spo, self._policy = spo, policy
        self._use_baseline, self._epochs, self._whole = use_baseline, epochs, whole
        self._previous = _Previous(spo.tracker.size)
        self._dispatch = self._spo.dispatch(0)
        self._seen: dict[str, list[float]] = {"rho": [], "kl": [], "drift": [], "explained_variance": []}

    def draw(self, n: int) -> IntArray:
        self._dispatch = (
            self._spo.dispatch(n) if self._epochs is None else self._spo.dispatch(slots=self._epochs.take(n))
        )
        return self._dispatch.slots

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> FloatArray:
        change = self._previous.change(slots, self._policy) if self._spo.retention.needs_policy_change else None
        squared_norm = squared_norms(samples) if self._spo.baseline.needs_squared_norms else None
        given: dict[str, FloatArray | IntArray] = {"rewards": rewards, "lengths": samples.tokens.lengths}
        given |= {} if change is None else {"policy_change": change}
        given |= {} if squared_norm is None else {"squared_norms": squared_norm}
        everything = [np.arange(len(rewards))]
        done = Completion.joined([self._complete(rows, given, step) for rows in (everything if self._whole else parts)])
        if change is not None:
            self._previous.keep(slots, samples)
            self._seen["kl"].extend(change[~np.isnan(change)])
        self._seen["rho"].append(float(done.rho.mean()))
        if rewards.any() and not rewards.all():
            self._seen["explained_variance"].append(explained_variance(done.rewards, done.baselines))
        if self._use_baseline:
            by_uid = done.by_uid()
            return np.array([by_uid[uid] for uid in self._dispatch.uids])
        return normalize(rewards, samples.tokens.lengths, self._spo.config.normalization, squared_norm)

    def _complete(self, rows: IntArray, given: Mapping[str, FloatArray | IntArray], step: int) -> Completion:
        uids = [self._dispatch.uids[row] for row in rows]
        return self._spo.complete(uids, step=step, **{name: values[rows] for name, values in given.items()})

    def published(self, changes: list[float]) -> None:
        change = update_change(float(np.mean(changes)), len(changes), noise=changes[0])
        self._spo.publish(change)
        self._seen["drift"].append(change)

    def metrics(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self._seen.items() if values}


def squared_norms(samples: Samples) -> FloatArray:
    """Squared gradient norm of each response, (n,)."""
    return squared_gradient_norm(samples.log_probs.numpy(), samples.tokens.mask.numpy())


class _Previous:
    """The latest response to each prompt, with the log-probs it was drawn with."""

    def __init__(self, pool_size: int) -> None:
        self._seen = np.zeros(pool_size, dtype=np.bool_)
        self._samples: Samples | None = None

    def change(self, slots: IntArray, policy: Policy) -> FloatArray:
        """D of each prompt, (n,): the policy's mean |log-prob change| on its previous response; NaN without one."""
        change = np.full(slots.shape, np.nan)
        known = self._seen[slots]
        if self._samples is not None and known.any():
            tokens, then = self._samples.tokens.rows(slots[known]), self._samples.log_probs[slots[known]]
            change[known] = mean_change(policy.rescore(tokens).numpy(), then.numpy(), tokens.mask.numpy())
        return change

    def keep(self, slots: IntArray, samples: Samples) -> None:
        if self._samples is None:
            self._samples = _empty_like(samples, self._seen.size)
        self._samples.tokens.ids[slots] = samples.tokens.ids
        self._samples.tokens.real[slots] = samples.tokens.real
        self._samples.log_probs[slots] = samples.log_probs
        self._seen[slots] = True


def _empty_like(samples: Samples, rows: int) -> Samples:
    ids, log_probs = samples.tokens.ids, samples.log_probs
    tokens = Tokens(ids.new_zeros(rows, ids.shape[1]), ids.new_zeros(rows, ids.shape[1]), samples.tokens.start)
    return Samples(tokens, log_probs.new_zeros(rows, log_probs.shape[1]))


def make_method(
    variant: Variant, pool_size: int, batch_size: int, policy: Policy, seed: int, in_parts: bool = False
) -> Method:
    """The method of a variant; `in_parts` is how batches arrive.

    Raises:
        ValueError: Unknown method.
    """
    if variant.method == "grpo":
        return GRPO(pool_size, seed)
    if variant.method == "reinforce++":
        return Reinforce(pool_size, seed)
    if variant.method == "reinforce, optimal baseline":
        return OptimalReinforce(pool_size, seed)
    if not variant.is_spo:
        raise ValueError(f"method={variant.method!r}: must be spo..., grpo, reinforce++ or reinforce, optimal baseline")
    retention, _, published = (variant.retention or "kl").partition(", ")
    options = SPOConfig.from_mapping(
        {
            "retention": retention,
            "event_step": "published" if published else "scaled",
            "normalization": variant.normalization or "trajectory",
            "baseline": variant.baseline,
            "sampling": "uniform" if "uniform" in variant.method else "prioritized",
            "seed": seed,
        }
    )
    epochs = Epochs(pool_size, seed) if "epochs" in variant.method else None
    whole, alone = "whole batch" in variant.method, "part alone" in variant.method
    spo = SPO(options, pool_size=pool_size, batch_size=batch_size, in_parts=in_parts and not whole and not alone)
    return SPOMethod(spo, policy, "no baseline" not in variant.method, epochs, whole)
