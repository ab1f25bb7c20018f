"""What of a recipe decides on memory and time."""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from verl_spo.config import ADVANTAGE_ESTIMATOR
from verl_spo.errors import ConfigError
from verl_spo.training import parallelism, verl_options
from verl_spo.training.parallelism import Parallelism
from verl_spo.training.preflight import parallel


@dataclass(frozen=True)
class Training:
    """How a recipe trains.

    Attributes:
        layout: Over which ranks.
        tokens: Of a micro-batch on one GPU.
        recompute: Layers whose insides are computed again, all at a time or that many; 0: none.
        recompute_block: Whether only the first `recompute` layers of a rank are.
        parameters_offloaded, optimizer_offloaded: Whether they leave the GPU while vLLM has it.
        optimizer_sharded: Whether the optimizer's states are spread over the data-parallel ranks.
        entropy: Whether the update computes the entropy too.
        entropy_chunk: Tokens whose entropy is computed at a time; None: all.
        scaled: Whether logits are divided by a temperature other than 1.
        weight_bytes: Of a parameter as the engine keeps it.
        unsharded_gradients: Whether FSDP gathers gradients until the last micro-batch.
        transformer: Overrides of Megatron's transformer config.
        adapters: Rank, targets of LoRA; None: all parameters are trained.
    """

    layout: Parallelism
    tokens: int
    recompute: int
    recompute_block: bool
    parameters_offloaded: bool
    optimizer_offloaded: bool
    optimizer_sharded: bool
    entropy: bool
    entropy_chunk: int | None
    scaled: bool
    weight_bytes: int
    unsharded_gradients: bool
    transformer: dict[str, Any]
    adapters: dict[str, Any] | None


@dataclass(frozen=True)
class Generation:
    """How a recipe generates.

    Attributes:
        gpus: That have a vLLM.
        tensor: Ranks of one replica.
        utilization: Share of a GPU's memory that vLLM takes.
        length: Tokens of the longest sequence.
        sequences: That a replica works on at a time, at most.
        batched_tokens: That a replica computes at a time, at most.
        shares: Whether it has the GPUs that train, in turns.
        frees: Whether it gives its memory back in between.
    """

    gpus: int
    tensor: int
    utilization: float
    length: int
    sequences: int
    batched_tokens: int
    shares: bool
    frees: bool


@dataclass(frozen=True)
class Work:
    """What one step does.

    Attributes:
        trajectories: In a step.
        updates: That a step makes of them.
        longest: Tokens that one may have.
        prompt, response: Tokens that each is taken to have.
        old_log_prob: Whether the trainer computes log-probs of its own before the update.
        rescoring: Whether previous responses are scored again (`spo.retention=kl`).
    """

    trajectories: int
    updates: int
    longest: int
    prompt: int
    response: int
    old_log_prob: bool
    rescoring: bool


def training(config: DictConfig, gpus: int | None) -> Training:
    """How a recipe trains, on as many GPUs as it says or as are given.

    Raises:
        ConfigError: There is something in it of which no plan can be made, or the ranks do not divide the GPUs.
    """
    _refuse_what_no_plan_knows(config)
    parallel.check(config, gpus)
    layout = parallelism.of(config, gpus)
    if layout.engine == "megatron":
        return _megatron(config, layout)
    if layout.engine == "fsdp":
        return _fsdp(config, layout)
    raise ConfigError(
        f"actor_rollout_ref.actor.strategy={layout.engine!r}: a plan can be made of megatron, fsdp and fsdp2"
    )


def generation(config: DictConfig, trainer_gpus: int) -> Generation:
    """How a recipe generates: on the GPUs that train, or on ones of its own."""
    rollout = config.actor_rollout_ref.rollout
    return Generation(
        gpus=parallelism.rollout_gpus(config, trainer_gpus),
        tensor=int(rollout.tensor_model_parallel_size),
        utilization=float(rollout.gpu_memory_utilization),
        length=int(rollout.max_model_len or config.data.max_prompt_length + config.data.max_response_length),
        sequences=int(rollout.max_num_seqs),
        batched_tokens=int(rollout.max_num_batched_tokens),
        shares=not parallelism.is_separate(config),
        frees=bool(rollout.free_cache_engine),
    )


def work(config: DictConfig, prompt: int | None, response: int | None) -> Work:
    """What a step of the recipe does, with trajectories of the longest or of a given length in tokens."""
    correction = config.algorithm.get("rollout_correction") or {}
    spo = config.algorithm.adv_estimator == ADVANTAGE_ESTIMATOR
    return Work(
        trajectories=int(config.data.train_batch_size * config.actor_rollout_ref.rollout.n),
        updates=max(1, int(config.data.train_batch_size // config.actor_rollout_ref.actor.ppo_mini_batch_size)),
        longest=int(config.data.max_prompt_length + config.data.max_response_length),
        prompt=prompt or int(config.data.max_prompt_length),
        response=response or int(config.data.max_response_length),
        old_log_prob=not correction.get("bypass_mode", False),
        rescoring=spo and verl_options.spo_config(config).retention == "kl",
    )


def _refuse_what_no_plan_knows(config: DictConfig) -> None:
    actor = config.actor_rollout_ref.actor
    others = {
        "actor_rollout_ref.actor.use_kl_loss": actor.use_kl_loss,
        "algorithm.use_kl_in_reward": config.algorithm.use_kl_in_reward,
        "actor_rollout_ref.model.use_fused_kernels": config.actor_rollout_ref.model.use_fused_kernels,
        "critic.enable": config.critic.enable or config.algorithm.adv_estimator == "gae",
    }
    for name, value in others.items():
        if value:
            raise ConfigError(f"{name}={value}: a plan knows one policy, and verl's unfused loss; set it to False")


def _tokens(config: DictConfig, layout: Parallelism) -> int:
    """Tokens of a micro-batch on one GPU."""
    actor = config.actor_rollout_ref.actor
    if actor.use_dynamic_bsz:
        return int(actor.ppo_max_token_len_per_gpu)
    size = actor.ppo_micro_batch_size_per_gpu
    if size is None:
        raise ConfigError(
            "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=None: set it, or "
            "actor_rollout_ref.actor.use_dynamic_bsz=True with ppo_max_token_len_per_gpu"
        )
    return int(size * (config.data.max_prompt_length + config.data.max_response_length)) // layout.context


def _common(config: DictConfig, layout: Parallelism) -> dict[str, Any]:
    actor = config.actor_rollout_ref.actor
    return {
        "layout": layout,
        "tokens": _tokens(config, layout),
        "weight_bytes": verl_options.weight_bytes(actor),
        "entropy": bool(actor.calculate_entropy or actor.entropy_coeff != 0),
        "entropy_chunk": int(actor.entropy_from_logits_chunk_size) if actor.entropy_from_logits_with_chunking else None,
        "scaled": config.actor_rollout_ref.rollout.temperature != 1,
    }


def _megatron(config: DictConfig, layout: Parallelism) -> Training:
    engine = config.actor_rollout_ref.actor.megatron
    if (config.actor_rollout_ref.model.get("lora") or {}).get("rank", 0):
        raise ConfigError("actor_rollout_ref.model.lora.rank: a plan knows LoRA only with FSDP; set it to 0")
    overrides = verl_options.plain(engine.override_transformer_config)
    return Training(
        recompute=int(overrides.get("recompute_num_layers") or 1) if _recomputes(overrides) else 0,
        recompute_block=overrides.get("recompute_method") == "block",
        parameters_offloaded=bool(engine.param_offload),
        optimizer_offloaded=bool(engine.optimizer_offload),
        optimizer_sharded=bool(engine.use_distributed_optimizer),
        unsharded_gradients=False,
        transformer=overrides,
        adapters=None,
        **_common(config, layout),
    )


def _recomputes(overrides: dict[str, Any]) -> bool:
    """Whether layers keep only their input; `selective` leaves out what flash attention does not keep anyway."""
    return overrides.get("recompute_granularity") == "full"


def _fsdp(config: DictConfig, layout: Parallelism) -> Training:
    engine, model = config.actor_rollout_ref.actor.fsdp_config, config.actor_rollout_ref.model
    if engine.fsdp_size not in (-1, layout.gpus):
        raise ConfigError(
            f"actor_rollout_ref.actor.fsdp_config.fsdp_size={engine.fsdp_size}: a plan knows shards over all "
            f"{layout.gpus} GPUs that train; set it to -1"
        )
    adapters = {"r": int(model.lora_rank), "target_modules": verl_options.plain(model).get("target_modules")}
    return Training(
        recompute=1 if model.enable_gradient_checkpointing else 0,
        recompute_block=False,
        parameters_offloaded=bool(engine.param_offload or engine.offload_policy),
        optimizer_offloaded=bool(engine.optimizer_offload or engine.offload_policy),
        optimizer_sharded=True,
        unsharded_gradients=bool(engine.use_no_sync_for_gradient_accumulation),
        transformer={},
        adapters=adapters if adapters["r"] else None,
        **_common(config, layout),
    )
