"""What a forward pass keeps for its backward pass, in bytes per token.

Counted as Korthikanti et al. (arXiv 2205.05198, section 4) do, for a dense decoder in bf16 with grouped queries, RMS
norms on queries and keys, gated MLPs and flash attention, which keeps no scores. The tests compare with tiny models.
"""

from verl_spo.planning.settings import Training
from verl_spo.planning.sizes import BF16, FP32
from verl_spo.training.architecture import Architecture
from verl_spo.training.parallelism import Parallelism


def megatron_layer(model: Architecture, layout: Parallelism, fused: bool) -> float:
    """Of one of Megatron's layers, with Transformer Engine's modules, on one rank.

    Kept are, of each norm, its input and its output; queries and keys before their norms and after their rotation;
    values; attention's output and its log-sum-exp per head; the MLP's two halves and their product, and where SiLU is
    not fused with it (`bias_activation_fusion`) both factors.
    """
    # With sequence parallelism what is of the hidden size is spread over the same ranks.
    hidden = 4 * BF16 * model.hidden / (layout.tensor if layout.sequence else 1)
    heads = (2 if model.normed_heads else 1) * (model.query + model.key)
    attention = BF16 * (heads + model.key + model.query) + FP32 * model.heads
    return hidden + (attention + (3 if fused else 5) * BF16 * model.feed_forward) / layout.tensor


def huggingface_layer(model: Architecture) -> float:
    """Of one layer of transformers': its norms keep fp32 copies, and its MLP the output of SiLU too."""
    norm = FP32 + BF16
    hidden = 2 * (norm + BF16) * model.hidden
    heads = (norm + BF16 if model.normed_heads else BF16) * (model.query + model.key)
    attention = heads + BF16 * (model.key + model.query) + FP32 * model.heads
    return hidden + attention + 4 * BF16 * model.feed_forward


def layer(model: Architecture, training: Training) -> float:
    """Of one layer, by the engine's own modules."""
    if training.layout.engine == "fsdp":
        return huggingface_layer(model)
    return megatron_layer(model, training.layout, bool(training.transformer.get("bias_activation_fusion")))


def checkpoint(model: Architecture, layout: Parallelism) -> float:
    """Of a layer that is computed again: its input."""
    return BF16 * model.hidden / (layout.tensor if layout.sequence else 1)


def per_token(model: Architecture, training: Training, layers: int, micro_batches: float) -> float:
    """Of the layers of one rank, at the moment that the most is kept.

    Args:
        model: Which.
        training: How its layers are spread and computed again.
        layers: That the rank has.
        micro_batches: That the rank has begun and not finished at a time (pipelines have several).
    """
    full, kept = layer(model, training), checkpoint(model, training.layout)
    if not training.recompute:
        return layers * full * micro_batches
    if training.recompute_block:
        again = min(training.recompute, layers)
        return (again * kept + (layers - again) * full) * micro_batches + full
    group = min(training.recompute, layers)
    return layers / group * kept * micro_batches + group * full


def under_way(layout: Parallelism, stage: int) -> float:
    """Micro-batches that a pipeline stage has begun and not finished: as many as stages follow it, and itself.

    Interleaved chunks keep more (arXiv 2205.05198, section 4.2.3: 1 + (p - 1) / (p m) of it).
    """
    interleaved = 1 + (layout.pipeline - 1) / (layout.pipeline * layout.virtual) if layout.virtual > 1 else 1.0
    return (layout.pipeline - stage) * (interleaved if stage == 0 else 1.0)


def logits(model: Architecture, training: Training) -> float:
    """Of the logits, at the moment that they take the most, in the update.

    Megatron's module turns its bf16 logits into fp32 (megatron/core/transformer/module.py:495), in whose place the loss
    puts softmax and gradient; dividing by the temperature has a gradient of its own. For the entropy verl keeps a copy
    and a softmax. FSDP's logits and their gradient stay in bf16, and its entropy takes fp32.
    """
    words = model.vocabulary / training.layout.tensor
    entropy = 2 * FP32 if training.entropy else 0
    if training.layout.engine == "megatron":
        return words * (2 * FP32 + entropy)
    return words * ((3 if training.scaled else 2) * BF16 + entropy)


def logits_without_gradient(model: Architecture, training: Training) -> float:
    """Of the logits where log-probs and entropies are computed alone, but for the softmax of the entropy."""
    words = model.vocabulary / training.layout.tensor
    return words * (2 * FP32 if training.layout.engine == "megatron" else (2 if training.scaled else 1) * BF16)


def entropy(model: Architecture, training: Training) -> float:
    """Bytes, not per token, of the entropy's softmax and products in fp32: of a chunk of the tokens, or of all."""
    tokens = min(training.tokens, training.entropy_chunk or training.tokens)
    copies = 2 if training.layout.engine == "megatron" else 3
    return copies * FP32 * tokens * model.vocabulary / training.layout.tensor
