"""A Hugging Face model as Megatron's ranks hold it, run in processes of its own."""

from pathlib import Path

import torch
from torch import Tensor, distributed
from transformers import AutoConfig

from verl_spo.cpu.megatron import engine


def log_probs(rank: int, folder: Path, tokens: Tensor, packed: bool, ranks: int) -> None:
    """Be one of `ranks` tensor-parallel ranks; the first writes the log-probs of the tokens, and a gradient.

    Args:
        rank: Which one.
        folder: Of the model (`model/`); of what is written.
        tokens: (sequences, length) ids.
        packed: Whether sequences come one behind the other.
        ranks: How many there are.
    """
    engine.prepare()
    from mbridge import AutoBridge
    from megatron.core import parallel_state, tensor_parallel

    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=ranks)
    tensor_parallel.model_parallel_cuda_manual_seed(0)
    config = AutoConfig.from_pretrained(folder / "model")
    engine.complete(config)
    bridge = AutoBridge.from_config(config, dtype=torch.float32)
    bridge.set_extra_args(sequence_parallel=ranks > 1, bf16=False)
    (model,) = bridge.get_model(weight_path=str(folder / "model"), bf16=False)
    losses = _packed(model, tokens) if packed else model(tokens, _positions(tokens), None, labels=tokens.roll(-1, 1))
    losses.mean().backward()
    gradient = model.decoder.layers[0].self_attention.linear_qkv.layer_norm_weight.grad
    if ranks > 1:
        # Each rank has seen a part of the sequence.
        distributed.all_reduce(gradient)
    if rank == 0:
        torch.save((-losses.detach().view_as(tokens), gradient), folder / "megatron.pt")
    distributed.destroy_process_group()


def _packed(model: torch.nn.Module, tokens: Tensor) -> Tensor:
    from megatron.core.packed_seq_params import PackedSeqParams

    length = tokens.shape[1]
    ends = torch.arange(len(tokens) + 1, dtype=torch.int32) * length
    where = PackedSeqParams("thd", cu_seqlens_q=ends, cu_seqlens_kv=ends, max_seqlen_q=length, max_seqlen_kv=length)
    row = tokens.reshape(1, -1)
    return model(row, _positions(row), None, labels=tokens.roll(-1, 1).reshape(1, -1), packed_seq_params=where)


def _positions(tokens: Tensor) -> Tensor:
    return torch.arange(tokens.shape[1]).expand_as(tokens)
