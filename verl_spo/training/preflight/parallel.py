"""Sizes of process groups against GPUs and the model: verl's validate_config accepts TP = 3 on 8 GPUs."""

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training import parallelism
from verl_spo.training.architecture import Architecture
from verl_spo.training.parallelism import Parallelism

_MEGATRON = "actor_rollout_ref.actor.megatron"
_ROLLOUT = "actor_rollout_ref.rollout"
# Options of Megatron's by which stages get other numbers of layers.
_UNEVEN = (
    "num_layers_in_first_pipeline_stage",
    "num_layers_in_last_pipeline_stage",
    "account_for_embedding_in_pipeline_split",
    "account_for_loss_in_pipeline_split",
    "pipeline_model_parallel_layout",
)


def check(config: DictConfig, gpus: int | None = None) -> None:
    """Hold the trainer's and the rollout engine's groups against the GPUs: the recipe's, or as many as are given.

    Raises:
        ConfigError: The GPUs cannot be divided so.
    """
    sizes = parallelism.of(config, gpus)
    if sizes.engine == "megatron":
        _check_megatron(sizes)
    else:
        _check_fsdp(config, sizes)
    _check_rollout(config, parallelism.rollout_gpus(config, sizes.gpus))


def check_model(config: DictConfig, model: Architecture) -> None:
    """Hold the groups against the model's heads, layers and vocabulary.

    Raises:
        ConfigError: The model cannot be divided so.
    """
    sizes = parallelism.of(config)
    if sizes.engine == "megatron":
        _check_tensor(sizes.tensor, model, _pads_vocabulary(config.actor_rollout_ref.actor.megatron))
        _check_experts(sizes, model)
        _check_stages(config, sizes, model)
    elif sizes.context > 1:
        _divides("the model's attention heads", model.heads, "Ulysses' sequence parallelism", sizes.context)
    tensor = config.actor_rollout_ref.rollout.tensor_model_parallel_size
    _divides("the model's attention heads", model.heads, f"{_ROLLOUT}.tensor_model_parallel_size", tensor)
    _shares_kv_heads(model, f"{_ROLLOUT}.tensor_model_parallel_size", tensor)


def _check_megatron(sizes: Parallelism) -> None:
    product = f"tensor {sizes.tensor} x pipeline {sizes.pipeline} x context {sizes.context}"
    if sizes.gpus % sizes.model:
        raise ConfigError(
            f"{_MEGATRON}: {product} parallel is {sizes.model}, which does not divide the {sizes.gpus} GPUs "
            "that train; set sizes whose product does"
        )
    if sizes.virtual > 1 and sizes.pipeline == 1:
        raise ConfigError(
            f"{_MEGATRON}.virtual_pipeline_model_parallel_size={sizes.virtual}: parts of a stage take turns only in a "
            "pipeline; set null, or pipeline_model_parallel_size above 1"
        )
    expert = sizes.expert_tensor * sizes.expert * sizes.pipeline
    if sizes.expert > 1 and sizes.gpus % expert:
        raise ConfigError(
            f"{_MEGATRON}.expert_model_parallel_size={sizes.expert}: x expert tensor {sizes.expert_tensor} x pipeline "
            f"{sizes.pipeline} is {expert}, which does not divide the {sizes.gpus} GPUs"
        )


def _check_fsdp(config: DictConfig, sizes: Parallelism) -> None:
    if sizes.gpus % sizes.context:
        raise ConfigError(
            f"actor_rollout_ref.actor.ulysses_sequence_parallel_size={sizes.context}: does not divide the {sizes.gpus} "
            "GPUs that train; set a divisor"
        )
    # verl's other engines have groups of their own.
    shards = (config.actor_rollout_ref.actor.get("fsdp_config") or {}).get("fsdp_size", -1)
    if 0 < shards < sizes.gpus and sizes.gpus % shards:
        raise ConfigError(
            f"actor_rollout_ref.actor.fsdp_config.fsdp_size={shards}: does not divide the {sizes.gpus} GPUs; set a "
            "divisor, or -1 for all"
        )


def _check_rollout(config: DictConfig, gpus: int) -> None:
    rollout = config.actor_rollout_ref.rollout
    engine = rollout.tensor_model_parallel_size * rollout.data_parallel_size * rollout.pipeline_model_parallel_size
    if gpus % engine:
        raise ConfigError(
            f"{_ROLLOUT}.tensor_model_parallel_size={rollout.tensor_model_parallel_size}: an engine of {engine} GPUs "
            f"(x data_parallel_size {rollout.data_parallel_size}) does not divide the {gpus} that generate; set a "
            "divisor"
        )
    node = min(gpus, rollout.n_gpus_per_node if rollout.nnodes else config.trainer.n_gpus_per_node)
    if node % engine and engine % node:
        raise ConfigError(
            f"{_ROLLOUT}.tensor_model_parallel_size={rollout.tensor_model_parallel_size}: an engine of {engine} GPUs "
            f"would lie across nodes of {node}; set a divisor of {node}, or whole nodes"
        )


def _check_tensor(tensor: int, model: Architecture, pads_vocabulary: bool) -> None:
    option = f"{_MEGATRON}.tensor_model_parallel_size"
    _divides("the model's attention heads", model.heads, option, tensor)
    _shares_kv_heads(model, option, tensor)
    if not pads_vocabulary:
        _divides("the model's vocabulary", model.vocabulary, option, tensor)
    _divides("the width of the model's feed-forward layers", model.feed_forward, option, tensor)


def _pads_vocabulary(megatron: DictConfig) -> bool:
    """Whether Megatron-Bridge adds rows to the embedding until they can be divided; mbridge does not."""
    return not megatron.vanilla_mbridge and bool(megatron.override_transformer_config.get("should_pad_vocab"))


def _check_experts(sizes: Parallelism, model: Architecture) -> None:
    option = f"{_MEGATRON}.expert_model_parallel_size"
    if sizes.expert > 1 and not model.experts:
        raise ConfigError(f"{option}={sizes.expert}: the model has no experts; set 1")
    _divides("the model's experts", model.experts, option, sizes.expert)


def _check_stages(config: DictConfig, sizes: Parallelism, model: Architecture) -> None:
    given = config.actor_rollout_ref.actor.megatron.override_transformer_config
    if not any(given.get(option) for option in _UNEVEN):
        option = f"{_MEGATRON}.pipeline_model_parallel_size x virtual_pipeline_model_parallel_size"
        _divides("the model's layers", model.layers, option, sizes.pipeline * sizes.virtual)


def _divides(what: str, whole: int, option: str, parts: int) -> None:
    if whole % parts:
        raise ConfigError(f"{option}={parts}: does not divide {what}, {whole}; set a divisor")


def _shares_kv_heads(model: Architecture, option: str, tensor: int) -> None:
    """Ranks beyond the number of key-value heads get copies (megatron/core/transformer/transformer_config.py:940)."""
    if model.kv_heads and model.kv_heads % tensor and tensor % model.kv_heads:
        raise ConfigError(
            f"{option}={tensor}: is neither a divisor nor a multiple of the model's {model.kv_heads} heads of keys and "
            "values"
        )
