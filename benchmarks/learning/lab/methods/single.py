"""Methods with one response per prompt and nothing that they remember."""

from collections.abc import Mapping, Sequence

from benchmarks.learning.lab.methods.epochs import Dealt
from benchmarks.learning.lab.methods.method import Advantages
from benchmarks.learning.lab.policy import Samples
from verl_spo.core.advantage import normalize
from verl_spo.core.arrays import FloatArray, IntArray
from verl_spo.core.baseline import squared_gradient_norm


class Reinforce(Dealt):
    """REINFORCE++: rewards whitened over the batch's tokens."""

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> Advantages:
        return normalize(rewards, samples.tokens.lengths, "token")


class OptimalReinforce(Reinforce):
    """REINFORCE with one baseline for all prompts: the one that leaves the least variance in the batch's gradient."""

    def advantages(
        self, step: int, slots: IntArray, samples: Samples, rewards: FloatArray, parts: Sequence[IntArray]
    ) -> Advantages:
        return normalize(rewards, samples.tokens.lengths, "token", centre=squared_norms(samples))


def squared_norms(samples: Samples) -> FloatArray:
    """Squared gradient norm of each response, (n,)."""
    return squared_gradient_norm(samples.log_probs.numpy(), samples.tokens.mask.numpy())


METHODS: Mapping[str, type[Dealt]] = {
    "reinforce++": Reinforce,
    "reinforce, optimal baseline": OptimalReinforce,
}
