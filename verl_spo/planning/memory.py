"""Memory of one GPU while it trains, in bytes: of the pipeline stage that needs the most."""

from dataclasses import dataclass

from verl_spo.planning import activations
from verl_spo.planning.building import Built, Stage
from verl_spo.planning.settings import Training
from verl_spo.planning.sizes import BF16, FP32
from verl_spo.training.architecture import Architecture
from verl_spo.training.parallelism import Parallelism


@dataclass(frozen=True)
class TrainingMemory:
    """Of the rank that needs the most in the update.

    Attributes:
        stage: Which pipeline stage it is of.
        parameters: Weights as the engine keeps them.
        gradients: Of all trained parameters.
        optimizer: Two moments; with Megatron main parameters in fp32 too.
        gathered: Weights that FSDP holds whole while it computes a layer.
        activations: Kept for the backward pass.
        activations_without_recompute: The same if no layer were computed again.
        logits: And their copies.
        log_prob: Activations and logits of a pass that only computes log-probs and entropies.
        rests: Gradients and optimizer that stay on the GPU when the update is over.
        stays: What stays while vLLM has the GPU: that, and parameters that are not offloaded.
        micro_batches: Begun and not finished at a time.
    """

    stage: int
    parameters: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    activations_without_recompute: float
    logits: float
    log_prob: float
    rests: float
    stays: float
    micro_batches: float

    @property
    def states(self) -> float:
        """What does not depend on the tokens of a micro-batch."""
        return self.parameters + self.gradients + self.optimizer + self.gathered

    @property
    def update(self) -> float:
        """All of the update."""
        return self.states + self.activations + self.logits

    @property
    def scoring(self) -> float:
        """All of a pass that only computes log-probs and entropies."""
        return self.rests + self.parameters + self.gathered + self.log_prob


def of_training(model: Architecture, training: Training, built: Built) -> TrainingMemory:
    """The rank that needs the most."""
    numbers = sorted({0, training.layout.pipeline - 1})
    ranks = [_rank(model, training, stage, number) for stage, number in zip(built.stages, numbers, strict=True)]
    return max(ranks, key=lambda rank: rank.update)


def _rank(model: Architecture, training: Training, stage: Stage, number: int) -> TrainingMemory:
    parameters, gradients, optimizer = _states(training, stage)
    rests = _resting(training, gradients, optimizer)
    begun = activations.under_way(training.layout, number)
    tokens, layer = training.tokens, activations.layer(model, training)
    return TrainingMemory(
        stage=number,
        parameters=parameters,
        gradients=gradients,
        optimizer=optimizer,
        gathered=_gathered(model, training.layout),
        activations=activations.per_token(model, training, stage.layers, begun) * tokens,
        activations_without_recompute=layer * stage.layers * begun * tokens,
        logits=stage.outputs * activations.logits(model, training) * tokens,
        log_prob=layer * tokens + stage.outputs * _scored(model, training),
        rests=rests,
        stays=rests + (0.0 if training.parameters_offloaded else parameters),
        micro_batches=begun,
    )


def _states(training: Training, stage: Stage) -> tuple[float, float, float]:
    """Bytes of parameters, gradients and optimizer on one rank."""
    layout = training.layout
    if layout.engine == "fsdp":
        size = training.weight_bytes
        gradients = FP32 if training.unsharded_gradients else size / layout.gpus
        return (
            size * stage.parameters / layout.gpus,
            gradients * stage.trained,
            2 * size * stage.trained / layout.gpus,
        )
    # megatron-core spreads main parameters and moments over the data- and context-parallel ranks.
    shards = layout.data * layout.context if training.optimizer_sharded else 1
    return BF16 * stage.parameters, FP32 * stage.trained, 3 * FP32 * stage.trained / shards


def _resting(training: Training, gradients: float, optimizer: float) -> float:
    """FSDP's gradients are gone after an update; Megatron's buffers go with the parameters (megatron_utils.py:713)."""
    buffers = training.layout.engine == "megatron" and not training.parameters_offloaded
    return (gradients if buffers else 0.0) + (0.0 if training.optimizer_offloaded else optimizer)


def _gathered(model: Architecture, layout: Parallelism) -> float:
    """FSDP holds two layers in bf16, one of them ahead, the gradient of one, embedding and output layer."""
    if layout.engine == "megatron":
        return 0.0
    return BF16 * (3 * model.layer_parameters + model.word_parameters)


def _scored(model: Architecture, training: Training) -> float:
    """Bytes of logits of which only log-probs and entropies are wanted."""
    per_token = activations.logits_without_gradient(model, training)
    return per_token * training.tokens + activations.entropy(model, training)
