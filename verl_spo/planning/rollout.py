"""vLLM's share of a GPU: its weights, and the KV cache that is left."""

import math
from dataclasses import dataclass

from verl_spo.planning.settings import Generation
from verl_spo.planning.sizes import BF16, FP32
from verl_spo.training.architecture import Architecture


@dataclass(frozen=True)
class RolloutMemory:
    """Of one GPU, in bytes.

    Attributes:
        share: All that vLLM takes (`gpu_memory_utilization`).
        weights: In bf16, over the ranks of a replica.
        computing: Activations and logits of as many tokens as vLLM computes at a time.
        cache: What is left for keys and values.
        per_token: Keys and values of one token.
        sequences: Longest sequences of which a replica holds all keys and values; below 1 vLLM does not start.
    """

    share: float
    weights: float
    computing: float
    cache: float
    per_token: float
    sequences: float

    @property
    def least(self) -> float:
        """The smallest share with which one sequence of full length can be generated."""
        return self.share - self.cache + self.cache / self.sequences if self.sequences > 0 else math.inf


def of_rollout(model: Architecture, generation: Generation, memory: float) -> RolloutMemory:
    """What a GPU of `memory` bytes leaves vLLM."""
    share = generation.utilization * memory
    weights = BF16 * model.parameters / generation.tensor
    computing = _computing(model, generation)
    per_token = _per_token(model, generation.tensor)
    cache = share - weights - computing
    return RolloutMemory(share, weights, computing, cache, per_token, max(0.0, cache / per_token / generation.length))


def _per_token(model: Architecture, ranks: int) -> float:
    """Keys and values of one token on one rank; heads that are fewer than ranks are repeated."""
    heads = max(model.kv_heads / ranks, 1)
    return 2 * BF16 * model.layers * heads * model.head_dim


def _computing(model: Architecture, generation: Generation) -> float:
    """One layer's insides, and logits with a copy, in fp32, of one token of every sequence."""
    layer = BF16 * (2 * model.hidden + (model.query + 2 * model.key + 3 * model.feed_forward) / generation.tensor)
    return layer * generation.batched_tokens + 2 * FP32 * model.vocabulary * generation.sequences
