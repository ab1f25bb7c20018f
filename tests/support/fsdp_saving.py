"""What verl's FSDP engine writes of a tiny model, on the CPU in a process of its own."""

from pathlib import Path

import torch
from torch import distributed

RANK = 8
"""Of LoRA."""


def save(rank: int, folder: Path) -> None:
    """Save all that verl can of the model in `folder`, in `whole`; with adapters, trained in its place, in `lora`."""
    distributed.init_process_group("gloo", rank=rank, world_size=1, store=distributed.HashStore())
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    for name in ("whole", "lora"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
        if name == "lora":
            model = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear"))
        _save(model, folder / name)
    distributed.destroy_process_group()


def _save(model: torch.nn.Module, folder: Path) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from verl.trainer.config import CheckpointConfig
    from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager

    fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
    optimizer = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.zeros(1, 2, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    contents = CheckpointConfig(save_contents=["model", "optimizer", "extra", "hf_model"])
    FSDPCheckpointManager(model, optimizer, checkpoint_config=contents).save_checkpoint(str(folder))
