"""How a recipe divides its GPUs: one reading of verl's options for all who ask."""

from dataclasses import dataclass

from omegaconf import DictConfig

from verl_spo.training import verl_options


@dataclass(frozen=True)
class Parallelism:
    """Sizes of the trainer's process groups.

    Attributes:
        engine: verl's (`verl_options.engine`).
        gpus: All of them.
        tensor: Ranks that share a layer's weights.
        pipeline: Stages.
        virtual: Parts of a stage that take turns; 1 without a virtual pipeline.
        context: Ranks that share a sequence: Megatron's context parallelism, or Ulysses' of FSDP.
        expert: Ranks that share the experts of a layer.
        expert_tensor: Ranks that share an expert's weights.
        sequence: Whether what `tensor` does not divide is divided along the sequence among the same ranks.
    """

    engine: str
    gpus: int
    tensor: int = 1
    pipeline: int = 1
    virtual: int = 1
    context: int = 1
    expert: int = 1
    expert_tensor: int = 1
    sequence: bool = False

    @property
    def model(self) -> int:
        """GPUs that hold and run one copy of the model."""
        return self.tensor * self.pipeline * self.context

    @property
    def data(self) -> int:
        """Ranks among which a batch is divided."""
        return self.gpus // self.model


def is_separate(config: DictConfig) -> bool:
    """Whether rollouts have GPUs of their own."""
    return bool(config.trainer.v1.trainer_mode.removeprefix("spo_") == "separate_async")


def of(config: DictConfig, gpus: int | None = None) -> Parallelism:
    """The trainer's parallelism, as the actor's options say, on the recipe's GPUs or on as many as are given."""
    count, actor = gpus or int(config.trainer.nnodes * config.trainer.n_gpus_per_node), config.actor_rollout_ref.actor
    engine = verl_options.engine(actor)
    if engine != "megatron":
        return Parallelism(engine, count, context=ulysses(actor))
    sizes = actor.megatron
    tensor = sizes.tensor_model_parallel_size
    return Parallelism(
        engine=engine,
        gpus=count,
        tensor=tensor,
        pipeline=sizes.pipeline_model_parallel_size,
        virtual=sizes.virtual_pipeline_model_parallel_size or 1,
        context=sizes.context_parallel_size,
        expert=sizes.expert_model_parallel_size,
        expert_tensor=sizes.expert_tensor_parallel_size or tensor,
        # verl/workers/config/engine.py:236
        sequence=bool(sizes.sequence_parallel) and tensor > 1,
    )


def ulysses(actor: DictConfig) -> int:
    """Ranks that share a sequence under FSDP: verl has two options for it, and the older one wins if it is set."""
    older = actor.get("ulysses_sequence_parallel_size") or 1
    return int(older if older > 1 else (actor.get("fsdp_config") or {}).get("ulysses_sequence_parallel_size") or 1)


def rollout_gpus(config: DictConfig, trainer_gpus: int) -> int:
    """GPUs that generate: those that train, or others."""
    rollout = config.actor_rollout_ref.rollout
    return int(rollout.nnodes * rollout.n_gpus_per_node) if is_separate(config) else trainer_gpus
