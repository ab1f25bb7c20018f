"""What tiny parts of Megatron's and Hugging Face's models take on the CPU, measured in processes of their own."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.functional import linear, rms_norm

from tests.support.allocation import Allocations, kept
from verl_spo.cpu.megatron import engine
from verl_spo.cpu.megatron import layers as stand_ins

WORDS, TOKENS, HIDDEN = 20_000, 256, 16
"""Of the logits: so many words that nothing else counts."""


def logits(rank: int, file: Path, ways: Sequence[tuple[bool, bool, int | None]]) -> None:
    """Write the most bytes at a time of verl's loss on Megatron's logits, or of log-probs and entropies alone.

    For each way: whether there is an update, whether the entropy is computed, and in chunks of how many tokens.
    """
    _one_rank()
    file.write_text(json.dumps([_peak(*way) for way in ways]))


def _peak(update: bool, entropy: bool, chunk: int | None) -> int:
    from megatron.core.transformer.module import float16_to_fp32
    from verl.workers.engine.megatron.transformer_impl import MegatronEngineWithLMHead

    weight = torch.randn(WORDS, HIDDEN, dtype=torch.bfloat16, requires_grad=update)
    hidden = torch.randn(1, TOKENS, HIDDEN, dtype=torch.bfloat16, requires_grad=update)
    options = SimpleNamespace(entropy_from_logits_with_chunking=chunk is not None, entropy_from_logits_chunk_size=chunk)
    with Allocations() as allocations:
        outputs = MegatronEngineWithLMHead._lm_head_logits_processor(
            SimpleNamespace(engine_config=options),
            float16_to_fp32(linear(hidden, weight)),
            torch.zeros(1, TOKENS, dtype=torch.long),
            torch.ones(1, TOKENS),
            calculate_sum_pi_squared=False,
            calculate_entropy=entropy,
            distillation_use_topk=False,
            distillation_only=False,
            logits_processor_func=None,
            batch=None,
            data_format="thd",
        )
        if update:
            sum(each.sum() for each in outputs.values()).backward()
    return allocations.peak


def layers(rank: int, file: Path, folder: Path, tokens: int) -> None:
    """Write what the decoder layers of a Hugging Face folder keep as Megatron's, in bf16, of one sequence."""
    _one_rank()
    # Transformer Engine's norms keep no fp32 copies.
    stand_ins._normalized = _LeanNorm.apply
    from mbridge import AutoBridge
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    engine.complete(config)
    bridge = AutoBridge.from_config(config, dtype=torch.bfloat16)
    (model,) = bridge.get_model(weight_path=None, wrap_with_ddp=False, bf16=False)
    count = sum(each.numel() for each in model.parameters())
    decoder, hidden = model.decoder, torch.randn(tokens, 1, config.hidden_size, dtype=torch.bfloat16)
    decoder.final_layernorm = torch.nn.Identity()
    angles = model.rotary_pos_emb(tokens)
    with kept(decoder) as sizes:
        decoder(hidden.requires_grad_(), None, rotary_pos_emb=angles)
    file.write_text(json.dumps({"kept": sum(sizes), "parameters": count}))


def read(file: Path) -> Any:
    """What was written."""
    return json.loads(file.read_text())


class _LeanNorm(torch.autograd.Function):
    """RMS norm that keeps its input alone; for forward passes."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        context.save_for_backward(x)
        return rms_norm(x.float(), (x.shape[-1],), weight.float(), eps).to(x.dtype)


def _one_rank() -> None:
    os.environ["TORCHDYNAMO_DISABLE"] = "1"
    engine.prepare()
    from megatron.core import parallel_state, tensor_parallel
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", rank=0, world_size=1, store=FakeStore())
    parallel_state.initialize_model_parallel(create_gloo_process_groups=False)
    tensor_parallel.model_parallel_cuda_manual_seed(0)
