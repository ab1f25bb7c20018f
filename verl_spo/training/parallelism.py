"""How a recipe divides its GPUs: one reading of verl's options for all who ask."""

from dataclasses import dataclass

from omegaconf import DictConfig


@dataclass(frozen=True)
class Parallelism:
    """Sizes of the trainer's process groups.

    Attributes:
        gpus: All of them.
        tensor: Ranks that share a layer's weights.
        pipeline: Stages.
        virtual: Parts of a stage that take turns; 1 without a virtual pipeline.
        context: Ranks that share a sequence: Megatron's context parallelism, or Ulysses' of FSDP.
        expert: Ranks that share the experts of a layer.
        expert_tensor: Ranks that share an expert's weights.
    """

    gpus: int
    tensor: int = 1
    pipeline: int = 1
    virtual: int = 1
    context: int = 1
    expert: int = 1
    expert_tensor: int = 1

    @property
    def model(self) -> int:
        """GPUs that hold and run one copy of the model."""
        return self.tensor * self.pipeline * self.context

    @property
    def data(self) -> int:
        """Ranks among which a batch is divided."""
        return self.gpus // self.model


def is_megatron(config: DictConfig) -> bool:
    """Whether verl's Megatron engine trains; otherwise one of its FSDP kind."""
    return bool(config.actor_rollout_ref.actor.strategy == "megatron")


def is_separate(config: DictConfig) -> bool:
    """Whether rollouts have GPUs of their own."""
    return bool(config.trainer.v1.trainer_mode.removeprefix("spo_") == "separate_async")


def of(config: DictConfig) -> Parallelism:
    """The trainer's parallelism, as the actor's options say."""
    gpus, actor = config.trainer.nnodes * config.trainer.n_gpus_per_node, config.actor_rollout_ref.actor
    if not is_megatron(config):
        return Parallelism(gpus, context=ulysses(actor))
    sizes = actor.megatron
    tensor = sizes.tensor_model_parallel_size
    return Parallelism(
        gpus=gpus,
        tensor=tensor,
        pipeline=sizes.pipeline_model_parallel_size,
        virtual=sizes.virtual_pipeline_model_parallel_size or 1,
        context=sizes.context_parallel_size,
        expert=sizes.expert_model_parallel_size,
        expert_tensor=sizes.expert_tensor_parallel_size or tensor,
    )


def ulysses(actor: DictConfig) -> int:
    """Ranks that share a sequence under FSDP: verl has two options for it, and the older one wins if it is set."""
    older = actor.get("ulysses_sequence_parallel_size") or 1
    return int(older if older > 1 else (actor.get("fsdp_config") or {}).get("ulysses_sequence_parallel_size") or 1)


def rollout_gpus(config: DictConfig) -> int:
    """GPUs that generate."""
    rollout = config.actor_rollout_ref.rollout
    if is_separate(config):
        return int(rollout.nnodes * rollout.n_gpus_per_node)
    return int(config.trainer.nnodes * config.trainer.n_gpus_per_node)
