"""Megatron's ranks of a model, on the meta device. Only the process of `child` imports megatron-core."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from verl_spo.training.architecture import Architecture


def stages(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What the first rank of the first and of the last pipeline stage holds, as `building.Stage` has it."""
    layout = asked["layout"]
    # Models whose embedding lies on two stages add it up on the GPU, while they are made.
    torch.Tensor.cuda = lambda tensor, *args, **kwargs: tensor  # type: ignore[method-assign]
    # Ranks of one pipeline stage stand together, stage by stage.
    per_stage = layout["gpus"] // layout["pipeline"]
    chosen = sorted({0, layout["pipeline"] - 1})
    return [_stage(asked, stage * per_stage) for stage in chosen]


def _stage(asked: dict[str, Any], rank: int) -> dict[str, Any]:
    from megatron.core import parallel_state
    from torch.testing._internal.distributed.fake_pg import FakeStore

    layout = asked["layout"]
    distributed.init_process_group("fake", rank=rank, world_size=layout["gpus"], store=FakeStore())
    try:
        parallel_state.initialize_model_parallel(
            tensor_model_parallel_size=layout["tensor"],
            pipeline_model_parallel_size=layout["pipeline"],
            virtual_pipeline_model_parallel_size=_virtual(layout),
            context_parallel_size=layout["context"],
            create_gloo_process_groups=False,
        )
        return _counted([_chunk(asked, number) for number in range(layout["virtual"])])
    finally:
        parallel_state.destroy_model_parallel()
        distributed.destroy_process_group()


def _chunk(asked: dict[str, Any], number: int) -> torch.nn.Module:
    """One of the chunks of layers that a rank has."""
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.parallel_state import is_pipeline_first_stage, is_pipeline_last_stage

    shape, layout = json.loads((Path(asked["folder"]) / "config.json").read_text()), asked["layout"]
    model, virtual = Architecture.from_mapping(shape), None if layout["virtual"] == 1 else number
    where = {"ignore_virtual": virtual is None, "vp_stage": virtual}
    with torch.device("meta"):
        return GPTModel(  # type: ignore[no-any-return]
            _transformer(model, _biased(shape), layout, asked["transformer"]),
            get_gpt_layer_local_spec(qk_layernorm=model.normed_heads, normalization="RMSNorm"),
            vocab_size=model.vocabulary,
            max_sequence_length=model.positions,
            pre_process=is_pipeline_first_stage(**where),
            post_process=is_pipeline_last_stage(**where),
            share_embeddings_and_output_weights=model.tied,
            position_embedding_type="rope",
            vp_stage=virtual,
        )


def _biased(shape: dict[str, Any]) -> bool:
    """Whether queries, keys and values have biases."""
    return shape["model_type"] == "qwen2" or bool(shape.get("attention_bias"))


def _transformer(model: Architecture, biased: bool, layout: dict[str, Any], overrides: dict[str, Any]) -> Any:
    from megatron.core.transformer import TransformerConfig
    from torch.nn.functional import silu

    options = {
        "num_layers": model.layers,
        "hidden_size": model.hidden,
        "ffn_hidden_size": model.feed_forward,
        "num_attention_heads": model.heads,
        "num_query_groups": model.kv_heads,
        "kv_channels": model.head_dim,
        "normalization": "RMSNorm",
        "qk_layernorm": model.normed_heads,
        "add_bias_linear": False,
        "add_qkv_bias": biased,
        "gated_linear_unit": True,
        "activation_func": silu,
        "tensor_model_parallel_size": layout["tensor"],
        "pipeline_model_parallel_size": layout["pipeline"],
        "virtual_pipeline_model_parallel_size": _virtual(layout),
        "context_parallel_size": layout["context"],
        # Changes no parameter, and torch's norm in the place of Transformer Engine's refuses it.
        "sequence_parallel": False,
        "bf16": True,
        "params_dtype": torch.bfloat16,
        "pipeline_dtype": torch.bfloat16,
        # Nothing is filled in, and nothing asks for a CUDA device.
        "use_cpu_initialization": True,
        "perform_initialization": False,
    }
    given = {name: value for name, value in overrides.items() if value is not None and name != "attention_backend"}
    return TransformerConfig(**{**options, **given})


def _virtual(layout: dict[str, Any]) -> int | None:
    return None if layout["virtual"] == 1 else int(layout["virtual"])


def _counted(chunks: list[torch.nn.Module]) -> dict[str, Any]:
    parameters = {id(each): each for chunk in chunks for each in chunk.parameters()}.values()
    count = sum(each.numel() for each in parameters)
    return {
        "parameters": count,
        "trained": count,
        "layers": sum(len(chunk.decoder.layers) for chunk in chunks),  # type: ignore[arg-type, union-attr, misc]
        "embeds": any(bool(chunk.pre_process) for chunk in chunks),
        "outputs": any(bool(chunk.post_process) for chunk in chunks),
    }
