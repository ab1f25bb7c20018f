"""Seconds of a step, phase by phase, from FLOPs, bytes, and what a GPU is assumed to make of its peak."""

import math
from dataclasses import dataclass

from verl_spo.planning.hardware import Hardware
from verl_spo.planning.memory import TrainingMemory
from verl_spo.planning.rollout import RolloutMemory
from verl_spo.planning.settings import Generation, Training, Work
from verl_spo.planning.sizes import BF16
from verl_spo.training.architecture import Architecture

_PASSES = 3
"""Forward and backward pass are three forward passes' FLOPs (verl/utils/flops_counter.py counts 6 a parameter)."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step.

    Attributes:
        generation: vLLM: reading weights and the cache for each token, computing where that takes longer.
        old_log_prob: The trainer's own log-probs of the responses.
        rescoring: Log-probs of the previous responses, which `spo.retention=kl` wants; as many tokens again at most.
        update: Forward and backward passes, with what is computed again.
        weight_sync: The weights to vLLM, and what is offloaded there and back.
        overlaps: Whether generation goes on beside the rest, on GPUs of its own.
    """

    generation: float
    old_log_prob: float
    rescoring: float
    update: float
    weight_sync: float
    overlaps: bool

    @property
    def total(self) -> float:
        """Of the step."""
        trainer = self.old_log_prob + self.rescoring + self.update + self.weight_sync
        return max(self.generation, trainer) if self.overlaps else self.generation + trainer


def of_step(
    model: Architecture,
    training: Training,
    generation: Generation,
    work: Work,
    flops: float,
    memory: TrainingMemory,
    rollout: RolloutMemory,
    hardware: Hardware,
) -> StepTime:
    """Estimate a step.

    Args:
        model, training, generation, work: The recipe.
        flops: Forward and backward pass of all its trajectories.
        memory, rollout: What the GPUs hold.
        hardware: What is assumed of them.
    """
    forward = flops / _PASSES / (training.layout.gpus * hardware.flops)
    return StepTime(
        generation=_generation(model, generation, work, rollout, hardware),
        old_log_prob=forward * work.old_log_prob,
        rescoring=forward * work.rescoring,
        update=forward * (_PASSES + _computed_again(training, model)) * _bubble(training, work),
        weight_sync=_weight_sync(model, training, memory, hardware),
        overlaps=not generation.shares,
    )


def _computed_again(training: Training, model: Architecture) -> float:
    """Forward passes that recomputation adds."""
    return min(1.0, training.recompute / model.layers) if training.recompute_block else float(training.recompute > 0)


def _bubble(training: Training, work: Work) -> float:
    """How much longer a pipeline takes that is not full all the time (arXiv 2104.04473, section 2.2)."""
    layout = training.layout
    tokens = work.trajectories * (work.prompt + work.response) / work.updates / layout.data
    micro_batches = max(1, math.ceil(tokens / (training.tokens * layout.context)))
    return 1 + (layout.pipeline - 1) / (layout.virtual * micro_batches)


def _generation(
    model: Architecture, generation: Generation, work: Work, rollout: RolloutMemory, hardware: Hardware
) -> float:
    """Decoding in waves of as many sequences as have a place, a token at the cost of the mean length; and prompts."""
    mine = math.ceil(work.trajectories * generation.tensor / generation.gpus)
    places = rollout.cache / rollout.per_token / (work.prompt + work.response)
    at_once = max(1, min(mine, generation.sequences, int(places)))
    per_token = 2 * model.parameters / generation.tensor / hardware.flops
    length = work.prompt + work.response / 2
    read = (rollout.weights + at_once * length * rollout.per_token) / hardware.bytes_read
    decoding = mine / at_once * work.response * max(read, at_once * per_token)
    return decoding + mine * work.prompt * per_token


def _weight_sync(model: Architecture, training: Training, memory: TrainingMemory, hardware: Hardware) -> float:
    """Every replica gets all weights; what is offloaded leaves the GPU and comes back once a step."""
    moved = memory.parameters * training.parameters_offloaded + memory.optimizer * training.optimizer_offloaded
    return (BF16 * model.parameters + 2 * moved) / (hardware.transfer * 1e9)
