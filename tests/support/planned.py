"""Models and settings to plan, without a recipe."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from verl_spo.planning import models
from verl_spo.planning.building import Built, Stage
from verl_spo.planning.settings import Generation, Training, Work
from verl_spo.training.architecture import Architecture
from verl_spo.training.parallelism import Parallelism

FOLDER_8B, QWEN3_8B = models.find("Qwen/Qwen3-8B")
FOLDER_0_6B, QWEN3_0_6B = models.find("Qwen/Qwen3-0.6B")


def megatron(gpus: int = 8, tensor: int = 1, pipeline: int = 1, context: int = 1, virtual: int = 1) -> Parallelism:
    """A layout of Megatron's, with sequence parallelism."""
    return Parallelism("megatron", gpus, tensor, pipeline, virtual, context, sequence=tensor > 1)


def training(layout: Parallelism, **options: Any) -> Training:
    """20,480 tokens a GPU, every layer computed again, everything offloaded."""
    usual = Training(
        layout=layout,
        tokens=20_480,
        recompute=1,
        recompute_block=False,
        parameters_offloaded=True,
        optimizer_offloaded=True,
        optimizer_sharded=True,
        entropy=False,
        entropy_chunk=2048,
        scaled=False,
        weight_bytes=2 if layout.engine == "megatron" else 4,
        unsharded_gradients=False,
        transformer={},
        adapters=None,
    )
    return replace(usual, **options)


GENERATION = Generation(
    gpus=8, tensor=2, utilization=0.7, length=10_240, sequences=256, batched_tokens=10_240, shares=True, frees=True
)
WORK = Work(trajectories=1024, updates=8, longest=10_240, prompt=2048, response=8192, old_log_prob=True, rescoring=True)


def built(parts: int = 1, stages: int = 1, trained: int | None = None) -> Built:
    """The 8 B model as ranks of equal size hold it."""
    size = QWEN3_8B.parameters // parts
    ends = [(number == 0, number == stages - 1) for number in sorted({0, stages - 1})]
    return Built(tuple(Stage(size, trained or size, 36 // stages, *end) for end in ends), 0.0)


def tiny(folder: Path) -> Architecture:
    """Qwen3-8B made small, in its proportions."""
    config = json.loads((FOLDER_8B / "config.json").read_text())
    small = {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2}
    small |= {"head_dim": 32, "intermediate_size": 768, "vocab_size": 1024, "bos_token_id": 0, "eos_token_id": 1}
    (folder / "config.json").write_text(json.dumps({**config, **small}))
    return models.find(str(folder))[1]
