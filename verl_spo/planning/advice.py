"""What cannot fit, and which knob to turn."""

import math
from dataclasses import dataclass
from typing import Literal

from verl_spo.planning.hardware import Hardware
from verl_spo.planning.memory import TrainingMemory
from verl_spo.planning.rollout import RolloutMemory
from verl_spo.planning.settings import Generation, Training, Work
from verl_spo.planning.sizes import GIB
from verl_spo.training.architecture import Architecture

Phase = Literal["update", "old_log_prob", "generation", "weight_sync", "kv_cache"]

_ACTOR = "actor_rollout_ref.actor"
_ROLLOUT = "actor_rollout_ref.rollout"
_STEP = 1024
"""Tokens to which advice is rounded down."""


@dataclass(frozen=True)
class Problem:
    """Something that cannot fit.

    Attributes:
        phase: Where.
        needs, has: Bytes.
        knobs: What helps, the mildest first.
    """

    phase: Phase
    needs: float
    has: float
    knobs: tuple[str, ...]

    def __str__(self) -> str:
        """In words."""
        sizes = f"needs {self.needs / GIB:.1f} GiB, has {self.has / GIB:.1f}"
        return f"{self.phase.replace('_', ' ')}: {sizes}; {'; or '.join(self.knobs)}"


@dataclass(frozen=True)
class Needs:
    """Bytes of one GPU in each phase, and what it has.

    Attributes:
        update, old_log_prob: While the trainer has the GPU.
        generation: While vLLM has it.
        weight_sync: While vLLM gets the trainer's weights.
        limit: Of each.
    """

    update: float
    old_log_prob: float
    generation: float
    weight_sync: float
    limit: float


def needs(generation: Generation, memory: TrainingMemory, rollout: RolloutMemory, hardware: Hardware) -> Needs:
    """Of every phase. Where vLLM shares the GPUs, it stays beside the trainer unless it gives its memory back."""
    reserve = hardware.reserve * GIB
    beside = rollout.share if generation.shares and not generation.frees else 0.0
    stays, parameters = (memory.stays, memory.parameters) if generation.shares else (0.0, 0.0)
    return Needs(
        update=memory.update + beside + reserve,
        old_log_prob=memory.scoring + beside + reserve,
        generation=stays + rollout.share + reserve,
        # The cache comes back only after it (verl/workers/engine_workers.py, update_weights).
        weight_sync=max(stays, memory.rests + parameters) + (beside or rollout.weights) + reserve,
        limit=hardware.memory * GIB,
    )


def problems(
    model: Architecture,
    training: Training,
    generation: Generation,
    work: Work,
    memory: TrainingMemory,
    rollout: RolloutMemory,
    needed: Needs,
) -> list[Problem]:
    """What cannot fit; empty where all does."""
    sequence = math.ceil(work.longest / training.layout.context)
    knobs: dict[Phase, tuple[str, ...]] = {
        "update": _for_training(model, training, memory, needed, sequence),
        "old_log_prob": _for_scoring(training, memory),
        "generation": _for_generation(training, generation, memory, rollout, needed),
        "weight_sync": (*_offloads(training, memory), *_wider_rollout(generation)),
    }
    found = [
        Problem(phase, getattr(needed, phase), needed.limit, tuple(knobs[phase]))
        for phase in knobs
        if getattr(needed, phase) > needed.limit
    ]
    if rollout.sequences < 1:
        least = rollout.weights + rollout.computing + rollout.per_token * generation.length
        found.append(Problem("kv_cache", least, rollout.share, _for_cache(generation, least, needed)))
    return found


def _for_training(
    model: Architecture, training: Training, memory: TrainingMemory, needed: Needs, sequence: int
) -> tuple[str, ...]:
    layout = training.layout
    knobs = [] if training.recompute else [_recompute(training)]
    spare = needed.limit - (needed.update - memory.activations - memory.logits)
    tokens = int(spare / (memory.activations + memory.logits) * training.tokens) // _STEP * _STEP
    if tokens >= sequence:
        knobs.append(f"set {_ACTOR}.ppo_max_token_len_per_gpu={tokens}")
    if layout.engine == "megatron":
        if not training.optimizer_sharded and layout.data > 1:
            knobs.append(f"set {_ACTOR}.megatron.use_distributed_optimizer=True")
        # Two GPUs in the place of one that saw other data.
        if layout.data % 2 == 0 and 2 * layout.tensor <= model.kv_heads:
            knobs.append(f"set {_ACTOR}.megatron.tensor_model_parallel_size={2 * layout.tensor}")
        if layout.data % 2 == 0 and model.layers % (2 * layout.pipeline) == 0:
            knobs.append(f"set {_ACTOR}.megatron.pipeline_model_parallel_size={2 * layout.pipeline}")
    elif training.unsharded_gradients:
        knobs.append(f"set {_ACTOR}.fsdp_config.use_no_sync_for_gradient_accumulation=False")
    if tokens < sequence:
        wider_context = (
            "megatron.context_parallel_size" if layout.engine == "megatron" else "ulysses_sequence_parallel_size"
        )
        knobs.append(f"spread a sequence: {_ACTOR}.{wider_context}={2 * layout.context}, with half the tokens per GPU")
    return (*knobs, "more GPUs (--gpus)")


def _recompute(training: Training) -> str:
    if training.layout.engine == "fsdp":
        return "set actor_rollout_ref.model.enable_gradient_checkpointing=True"
    options = f"{_ACTOR}.megatron.override_transformer_config"
    return f"set {options}.recompute_granularity=full, .recompute_method=uniform, .recompute_num_layers=1"


def _for_scoring(training: Training, memory: TrainingMemory) -> tuple[str, ...]:
    chunks = () if training.entropy_chunk else (f"set {_ACTOR}.entropy_from_logits_with_chunking=True",)
    return (*chunks, *_offloads(training, memory), f"lower {_ROLLOUT}.log_prob_max_token_len_per_gpu")


def _for_generation(
    training: Training, generation: Generation, memory: TrainingMemory, rollout: RolloutMemory, needed: Needs
) -> tuple[str, ...]:
    fits = generation.utilization - (needed.generation - needed.limit) / needed.limit
    fits = math.floor(fits * 100) / 100
    lower = (f"set {_ROLLOUT}.gpu_memory_utilization={fits:g}",) if fits * needed.limit > rollout.least else ()
    return (*(_offloads(training, memory) if generation.shares else ()), *lower, *_wider_rollout(generation))


def _offloads(training: Training, memory: TrainingMemory) -> tuple[str, ...]:
    group = f"{_ACTOR}.{'megatron' if training.layout.engine == 'megatron' else 'fsdp_config'}"
    missing = {"param_offload": training.parameters_offloaded, "optimizer_offload": training.optimizer_offloaded}
    return tuple(f"set {group}.{name}=True" for name, offloaded in missing.items() if not offloaded and memory.stays)


def _for_cache(generation: Generation, least: float, needed: Needs) -> tuple[str, ...]:
    share = math.ceil(least / needed.limit * 100) / 100
    higher = (f"set {_ROLLOUT}.gpu_memory_utilization={share:g}",) if share < 1 else ()
    return (*higher, *_wider_rollout(generation), f"lower {_ROLLOUT}.max_model_len")


def _wider_rollout(generation: Generation) -> tuple[str, ...]:
    """Twice the ranks for a replica, where there are as many GPUs."""
    fits = generation.gpus % (2 * generation.tensor) == 0
    return (f"set {_ROLLOUT}.tensor_model_parallel_size={2 * generation.tensor}",) if fits else ()
