"""A Hugging Face model on the meta device, as FSDP shards it. Only the process of `child` imports transformers."""

from typing import Any

import torch


def stages(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The whole model as one stage, as `building.Stage` has it: FSDP's shards are equal parts of it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(asked["folder"])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        if asked["adapters"]:
            model = _with_adapters(model, asked["adapters"])
    parameters = list(model.parameters())
    return [
        {
            "parameters": sum(each.numel() for each in parameters),
            "trained": sum(each.numel() for each in parameters if each.requires_grad),
            "layers": config.num_hidden_layers,
            "embeds": True,
            "outputs": True,
        }
    ]


def _with_adapters(model: Any, adapters: dict[str, Any]) -> Any:
    """As verl adds them (verl/workers/engine/fsdp/transformer_impl.py:359)."""
    from peft import LoraConfig, TaskType, get_peft_model

    return get_peft_model(model, LoraConfig(task_type=TaskType.CAUSAL_LM, **adapters))
