"""The methods that are compared. Each chooses prompts, gives advantages, and is told how far the update went."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lab.policy import Policy, Samples, Tokens, mean_change
from verl_spo.config import SPOConfig
from verl_spo.core.advantage import explained_variance, normalize
from verl_spo.core.arrays import FloatArray, IntArray
from verl_spo.core.baseline import gradient_energy, make_baseline
from verl_spo.core.retention import make_retention, update_drift
from verl_spo.core.sampling import PromptSampler
from verl_spo.core.tracker import ValueTracker

GROUP = 8


@dataclass(frozen=True)
class Variant:
    """One line of the tables.

    Attributes:
        method: `grpo`, `reinforce++`, `reinforce, optimal baseline`, or `spo` followed by what is changed of it:
            `, optimal baseline`, `, no baseline`, `, uniform sampling`, `, shuffled passes`.
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

    def advantages(self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray) -> FloatArray:
        """One scalar a trajectory, (n,)."""

    def published(self, changes: list[float]) -> None:
        """The update is done; `changes` are what `update` returned."""

    def metrics(self) -> dict[str, float]:
        """Means over the run."""


class Epochs:
    """Prompts in shuffled passes over the pool, as a data loader deals them."""

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
    """Groups of 8 responses a prompt; the group's mean is the baseline, its deviation the scale."""

    def __init__(self, pool_size: int, seed: int) -> None:
        self._epochs = Epochs(pool_size, seed)

    def draw(self, n: int) -> IntArray:
        return np.repeat(self._epochs.take(n // GROUP), GROUP)

    def advantages(self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray) -> FloatArray:
        groups = rewards.reshape(-1, GROUP)
        centred = groups - groups.mean(1, keepdims=True)
        advantages: FloatArray = centred / (groups.std(1, ddof=1, keepdims=True) + 1e-6)
        return advantages.reshape(-1)

    def published(self, changes: list[float]) -> None:
        pass

    def metrics(self) -> dict[str, float]:
        return {}


class Reinforce:
    """REINFORCE++: one response a prompt, rewards whitened over the batch's tokens."""

    def __init__(self, pool_size: int, seed: int) -> None:
        self._epochs = Epochs(pool_size, seed)

    def draw(self, n: int) -> IntArray:
        return self._epochs.take(n)

    def advantages(self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray) -> FloatArray:
        return normalize(rewards, samples.tokens.lengths, "token")

    def published(self, changes: list[float]) -> None:
        pass

    def metrics(self) -> dict[str, float]:
        return {}


class OptimalReinforce(Reinforce):
    """REINFORCE with one baseline for all prompts: the one that leaves the least variance in the batch's gradient."""

    def advantages(self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray) -> FloatArray:
        return normalize(rewards, samples.tokens.lengths, "token", centre=energies(samples))


class SPO:
    """SPO on `verl_spo.core`, as `options` ask, less what a variant takes away.

    Without `use_baseline` the tracker only chooses prompts; with `passes` it does not choose them.
    """

    def __init__(
        self,
        options: SPOConfig,
        pool_size: int,
        batch_size: int,
        policy: Policy,
        use_baseline: bool = True,
        passes: Epochs | None = None,
    ) -> None:
        self._options, self._policy, self._use_baseline, self._passes = options, policy, use_baseline, passes
        self._tracker = ValueTracker.from_value(pool_size, options.prior, options.prior_n_eff)
        self._baseline = make_baseline(options.baseline, options.prior, batch_size)
        self._retention = make_retention(options, pool_size, batch_size)
        self._sampler = PromptSampler(pool_size, options.sampling, options.epsilon, options.gamma, seed=options.seed)
        self._previous = _Previous(pool_size)
        self._baselines: FloatArray = np.empty(0)
        self._seen: dict[str, list[float]] = {"rho": [], "kl": [], "drift": [], "explained_variance": []}

    def draw(self, n: int) -> IntArray:
        slots = (
            self._sampler.draw(n, self._tracker, self._retention.clock)
            if self._passes is None
            else self._passes.take(n)
        )
        self._baselines = self._baseline.at(self._tracker.value(slots))
        return slots

    def advantages(self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray) -> FloatArray:
        change = self._previous.change(slots, self._policy) if self._retention.needs_kl else None
        versions = np.full(slots.shape, step - 1)
        energy = energies(samples) if self._baseline.needs_energies else None
        self._baseline.observe(self._tracker.value(slots), rewards, energy)
        rho = self._retention.observe(self._tracker, slots, rewards, versions, change, step)
        if change is not None:
            self._previous.keep(slots, samples)
            self._seen["kl"].extend(change[~np.isnan(change)])
        self._seen["rho"].append(float(rho.mean()))
        if rewards.any() and not rewards.all():
            self._seen["explained_variance"].append(explained_variance(rewards, self._baselines))
        baselines = self._baselines if self._use_baseline else 0.0
        return normalize(rewards - baselines, samples.tokens.lengths, self._options.normalization, energy)

    def published(self, changes: list[float]) -> None:
        drift = update_drift(float(np.mean(changes)), len(changes))
        self._retention.publish(drift)
        self._seen["drift"].append(drift)

    def metrics(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self._seen.items() if values}


def energies(samples: Samples) -> FloatArray:
    """Gradient energy of each response, (n,)."""
    return gradient_energy(samples.log_probs.numpy(), samples.tokens.mask.numpy())


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
            change[known] = mean_change(policy.rescore(tokens), then, tokens.mask)
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


def make_method(variant: Variant, pool_size: int, batch_size: int, policy: Policy, seed: int) -> Method:
    """The method of a line of the tables.

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
    options = SPOConfig(
        retention=retention,
        event_step="published" if published else "scaled",
        normalization=variant.normalization or "trajectory",
        baseline=variant.baseline,
        sampling="uniform" if "uniform" in variant.method else "prioritized",
        seed=seed,
    )
    passes = Epochs(pool_size, seed) if "shuffled passes" in variant.method else None
    return SPO(options, pool_size, batch_size, policy, "no baseline" not in variant.method, passes)
