"""Methods that compare the responses to one prompt with each other: 8 of them, for an eighth of the prompts.

Their advantages are those of verl 0.9 (`verl/trainer/ppo/core_algos.py`), which a test holds them against.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.learning.lab.methods.epochs import Dealt
from benchmarks.learning.lab.methods.method import Advantages
from benchmarks.learning.lab.policy import Samples
from verl_spo.core.advantage import normalize
from verl_spo.core.arrays import BoolArray, FloatArray, IntArray

GROUP = 8

_EPSILON = 1e-6
_OTB_EPSILON = 1e-8


class Grouped(Dealt):
    """8 responses to each prompt; `centred` is what tells these methods apart."""

    def draw(self, n: int) -> IntArray:
        return np.repeat(self._epochs.take(n // GROUP), GROUP)

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> Advantages:
        centred = self.centred(rewards.reshape(-1, GROUP), samples)
        rows: Advantages = centred.reshape(rewards.size, *centred.shape[2:])
        return rows

    @abstractmethod
    def centred(self, groups: FloatArray, samples: Samples) -> FloatArray:
        """Advantages of the rewards of groups, (groups, 8), or those with an axis of tokens."""


class GRPO(Grouped):
    """The group's mean is the baseline, its deviation the scale."""

    def centred(self, groups: FloatArray, samples: Samples) -> FloatArray:
        scaled: FloatArray = _less_mean(groups) / (groups.std(1, ddof=1, keepdims=True) + _EPSILON)
        return scaled


class DynamicGRPO(GRPO):
    """DAPO's dynamic sampling: groups whose rewards are all the same are thrown away, and others drawn for them."""

    def kept(self, rewards: FloatArray) -> BoolArray:
        mixed: BoolArray = np.ptp(rewards.reshape(-1, GROUP), axis=1) > 0
        return np.repeat(mixed, GROUP)


class RLOO(Grouped):
    """The baseline of a response is the mean of the others."""

    def centred(self, groups: FloatArray, samples: Samples) -> FloatArray:
        return _less_mean(groups) * GROUP / (GROUP - 1)


class GroupReinforce(Grouped):
    """REINFORCE++ with the group's mean as its baseline; whitened over the batch's tokens."""

    def centred(self, groups: FloatArray, samples: Samples) -> FloatArray:
        return normalize(_less_mean(groups).ravel(), samples.tokens.lengths, "token")


class OPO(Grouped):
    """The baseline is the group's mean, weighted by the length of the responses (arXiv 2505.23585)."""

    def centred(self, groups: FloatArray, samples: Samples) -> FloatArray:
        lengths = samples.tokens.lengths.reshape(groups.shape)
        centred: FloatArray = groups - (lengths * groups).sum(1, keepdims=True) / lengths.sum(1, keepdims=True)
        return centred


class OptimalTokens(Grouped):
    """verl's optimal token baseline: at each token, the group's mean by the squared gradient of all logits so far."""

    def centred(self, groups: FloatArray, samples: Samples) -> FloatArray:
        mask = samples.tokens.mask.double().numpy().reshape(*groups.shape, -1)
        energy = self._policy.squared_logit_gradients(samples.tokens).reshape(mask.shape).cumsum(-1) * mask
        rewards = groups[..., None]
        baseline = (rewards * energy).sum(1, keepdims=True) / (energy.sum(1, keepdims=True) + _OTB_EPSILON)
        centred: FloatArray = (rewards - baseline * self._compared(mask)) * mask
        return centred

    @staticmethod
    def _compared(mask: FloatArray) -> FloatArray:
        """0 where the longest response of a group goes on alone: there verl has no baseline."""
        alive = mask.sum(1, keepdims=True)
        return np.where((alive == 1) & (mask > 0), 0.0, 1.0)


def _less_mean(groups: FloatArray) -> FloatArray:
    centred: FloatArray = groups - groups.mean(1, keepdims=True)
    return centred


METHODS: Mapping[str, type[Dealt]] = {
    "grpo": GRPO,
    "grpo, dynamic sampling": DynamicGRPO,
    "rloo": RLOO,
    "reinforce++, group baseline": GroupReinforce,
    "opo": OPO,
    "optimal token baseline": OptimalTokens,
}
