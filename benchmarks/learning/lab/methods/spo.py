"""SPO, whole or in part."""

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.learning.lab.methods.epochs import Epochs
from benchmarks.learning.lab.methods.method import Advantages, Method
from benchmarks.learning.lab.methods.single import squared_norms
from benchmarks.learning.lab.policy import Policy, Samples, Tokens
from verl_spo import SPO
from verl_spo.core.advantage import explained_variance, normalize
from verl_spo.core.arrays import FloatArray, IntArray
from verl_spo.core.policy_change import mean_change, update_change
from verl_spo.core.spo import Completion, Dispatch
from verl_spo.core.tracker import ValueTracker


class SPOMethod(Method):
    """SPO as `options` ask, less what a variant takes away.

    Without `use_baseline` the tracker only chooses prompts; with `epochs` it does not draw them. A batch in parts is
    normalized as SPO does it, unless it is taken as a `whole`, or the parts `alone`.
    """

    def __init__(
        self,
        spo: SPO,
        policy: Policy,
        use_baseline: bool = True,
        epochs: Epochs | None = None,
        whole: bool = False,
    ) -> None:
        self._spo, self._policy = spo, policy
        self._use_baseline, self._epochs, self._whole = use_baseline, epochs, whole
        self._previous = _Previous(spo.tracker.size)
        # Of batches that were drawn and not trained on, the oldest first.
        self._dispatched: deque[Dispatch] = deque()
        self._seen: dict[str, list[float]] = {"rho": [], "kl": [], "drift": [], "explained_variance": []}

    def draw(self, n: int) -> IntArray:
        dispatch = self._spo.dispatch(n) if self._epochs is None else self._spo.dispatch(slots=self._epochs.take(n))
        self._dispatched.append(dispatch)
        return dispatch.slots

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> Advantages:
        asked = self._dispatched.popleft().uids
        change = self._previous.change(slots, self._policy) if self._spo.retention.needs_policy_change else None
        squared_norm = squared_norms(samples) if self._spo.baseline.needs_squared_norms else None
        given: dict[str, FloatArray | IntArray] = {"rewards": rewards, "lengths": samples.tokens.lengths}
        given |= {} if change is None else {"policy_change": change}
        given |= {} if squared_norm is None else {"squared_norms": squared_norm}
        everything = [np.arange(len(rewards))]
        done = Completion.joined(
            [self._complete(asked, rows, given, step) for rows in (everything if self._whole else parts)]
        )
        if change is not None:
            self._previous.keep(slots, samples)
            self._seen["kl"].extend(change[~np.isnan(change)])
        self._seen["rho"].append(float(done.rho.mean()))
        if rewards.any() and not rewards.all():
            self._seen["explained_variance"].append(explained_variance(done.rewards, done.baselines))
        if self._use_baseline:
            by_uid = done.by_uid()
            return np.array([by_uid[uid] for uid in asked])
        return normalize(rewards, samples.tokens.lengths, self._spo.config.normalization, squared_norm)

    def _complete(
        self, asked: Sequence[str], rows: IntArray, given: Mapping[str, FloatArray | IntArray], step: int
    ) -> Completion:
        uids = [asked[row] for row in rows]
        return self._spo.complete(uids, step=step, **{name: values[rows] for name, values in given.items()})

    def published(self, changes: list[float]) -> None:
        change = update_change(float(np.mean(changes)), len(changes), noise=changes[0])
        self._spo.publish(change)
        self._seen["drift"].append(change)

    def values(self) -> FloatArray | None:
        return self.tracker.value()

    @property
    def tracker(self) -> ValueTracker:
        """What it knows of the pool."""
        return self._spo.tracker

    def metrics(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self._seen.items() if values}


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
