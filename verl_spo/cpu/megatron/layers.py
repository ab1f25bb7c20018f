"""Plain torch in the place of Transformer Engine's modules, which need CUDA.

They have its parameters' names (`linear_qkv.layer_norm_weight`, ...), so that mbridge and Megatron-Bridge map the
weights of a Hugging Face model as they do for a GPU.
"""

from itertools import pairwise
from typing import Any

import torch
from megatron.core.models.backends import LocalSpecProvider
from megatron.core.tensor_parallel.layers import ColumnParallelLinear
from megatron.core.transformer.module import MegatronModule
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import rms_norm, scaled_dot_product_attention

from verl_spo.errors import ConfigError


class Norm(torch.nn.Module):
    """RMS norm, also where the sequence is spread over the tensor-parallel ranks."""

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-5, **unused: Any) -> None:
        super().__init__()
        self.eps, self.weight = eps, _norm_weight(config, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize the last dimension."""
        return _normalized(x, self.weight, self.eps)


class LayerNormColumnParallelLinear(ColumnParallelLinear):  # type: ignore[misc]
    """RMS norm and column-parallel linear in one module.

    By the name Megatron-Bridge knows which of its parameters are spread (models/conversion/param_mapping.py:1482).
    """

    def __init__(self, input_size: int, output_size: int, *, config: Any, **kwargs: Any) -> None:
        super().__init__(input_size, output_size, config=config, **kwargs)
        self.eps, self.layer_norm_weight = config.layernorm_epsilon, _norm_weight(config, input_size)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Normalize, then multiply."""
        return super().forward(_normalized(x, self.layer_norm_weight, self.eps), *args, **kwargs)


class Attention(MegatronModule):  # type: ignore[misc]
    """Causal attention, of padded sequences or of packed ones.

    Raises:
        ConfigError: A context is spread over ranks, for which there is no stand-in.
    """

    def __init__(self, config: Any, *args: Any, softmax_scale: float | None = None, **kwargs: Any) -> None:
        super().__init__(config=config)
        if config.context_parallel_size > 1:
            raise ConfigError(
                f"context_parallel_size={config.context_parallel_size}: attention over ranks needs Transformer Engine, "
                "and so an accelerator; set it to 1"
            )
        self.scale = softmax_scale

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, *args: Any, packed_seq_params: Any = None, **kwargs: Any
    ) -> Tensor:
        """Attend.

        Args:
            query: (length, batch, heads, channels), or (tokens, heads, channels) of packed sequences.
            key, value: Likewise, of as many heads or a divisor of them.
            packed_seq_params: Where packed sequences begin and end.

        Returns:
            Of `query`'s leading dimensions, with heads and channels as one.
        """
        if packed_seq_params is None:
            sequences = zip(query.unbind(1), key.unbind(1), value.unbind(1), strict=True)
            return torch.stack([self._attend(*each) for each in sequences], dim=1)
        ends = packed_seq_params.cu_seqlens_q_padded
        ends = (packed_seq_params.cu_seqlens_q if ends is None else ends).tolist()
        spans = [slice(first, last) for first, last in pairwise(ends) if last > first]
        attended = torch.cat([self._attend(query[span], key[span], value[span]) for span in spans])
        # What pads the whole stands behind the last sequence.
        return torch.cat([attended, attended.new_zeros(len(query) - len(attended), attended.shape[1])])

    def _attend(self, *tensors: Tensor) -> Tensor:
        """One sequence: (length, heads, channels) to (length, heads * channels)."""
        query, key, value = (x.transpose(0, 1).unsqueeze(0) for x in tensors)
        attended = scaled_dot_product_attention(query, key, value, is_causal=True, scale=self.scale, enable_gqa=True)
        return attended.squeeze(0).transpose(0, 1).flatten(1)


class Provider(LocalSpecProvider):  # type: ignore[misc]
    """Tells megatron-core which modules a layer consists of."""

    def fuse_layernorm_and_linear(self) -> bool:
        """As Transformer Engine has it, on which the names of parameters depend."""
        return True

    def column_parallel_layer_norm_linear(self) -> type:
        """The fused module."""
        return LayerNormColumnParallelLinear

    def layer_norm(self, *args: Any, **kwargs: Any) -> type:
        """The norm, whatever for; megatron-core 0.18 also says whether a residual follows."""
        return Norm

    def core_attention(self) -> type:
        """The attention."""
        return Attention


def install() -> None:
    """Let megatron-core build layers of them; a second call changes nothing."""
    from megatron.core.models.gpt import gpt_layer_specs
    from megatron.core.transformer import transformer_block

    gpt_layer_specs.TESpecProvider, gpt_layer_specs.TENorm, gpt_layer_specs.HAVE_TE = Provider, Norm, True
    # Behind the last layer, where only a layer was specified, as Megatron-Bridge does.
    transformer_block.LayerNormImpl = Norm


def _norm_weight(config: Any, size: int) -> Parameter:
    weight = Parameter(torch.ones(size, dtype=config.params_dtype))
    # Its gradient is a sum over ranks where the sequence is spread over them.
    weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]
    return weight


def _normalized(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return rms_norm(x.float(), (x.shape[-1],), weight.float(), eps).to(x.dtype)
