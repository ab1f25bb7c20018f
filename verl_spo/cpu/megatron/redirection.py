"""megatron-core names CUDA in dozens of places; in a process that trains with it on the CPU, they all mean the CPU."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from verl_spo.cpu.platform import PlatformCPU

_CPU = torch.device("cpu")
_OF_THE_DEVICE = (
    *("set_device", "synchronize", "empty_cache", "ipc_collect", "get_device_name", "mem_get_info"),
    *("memory_allocated", "memory_reserved", "max_memory_allocated", "max_memory_reserved", "reset_peak_memory_stats"),
    *("get_rng_state", "set_rng_state", "Stream", "Event", "stream", "current_stream"),
)
"""What torch.cuda and the platform's device module share."""

_TENSOR_TYPES = ("FloatTensor", "DoubleTensor", "HalfTensor", "BFloat16Tensor", "IntTensor", "LongTensor", "ByteTensor")


def redirect() -> None:
    """Give this process's torch.cuda the CPU's functions; a second call changes nothing."""
    cuda, cpu = torch.cuda, PlatformCPU.device_module
    for name in _OF_THE_DEVICE:
        setattr(cuda, name, getattr(cpu, name))
    for name in _TENSOR_TYPES:
        setattr(cuda, name, getattr(torch, name))
    cuda.current_device = lambda: _CPU  # type: ignore[assignment, return-value]
    cuda.default_stream = cpu.current_stream
    cuda.manual_seed = _seed_cpu
    # torch.manual_seed calls it.
    cuda.manual_seed_all = _nothing
    for name in ("range_push", "range_pop", "mark"):
        setattr(cuda.nvtx, name, _nothing)
    _redirect_random_states()


def _redirect_random_states() -> None:
    """megatron/core/tensor_parallel/random.py:41, :72 (0.18.0: 96, 127) reach for the generators of CUDA devices."""
    from megatron.core.tensor_parallel import random

    random._get_cuda_rng_state = lambda *args, **kwargs: torch.get_rng_state()
    random._set_cuda_rng_state = lambda new_state, *args, **kwargs: torch.set_rng_state(new_state)


class OnCPU(TorchFunctionMode):
    """While it is on, in this thread, a device that a call of torch's names as CUDA is the CPU."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch's with the CPU in the place of CUDA."""
        # Pinned memory needs an accelerator.
        named = {name: _on_cpu(value) for name, value in (kwargs or {}).items() if name != "pin_memory"}
        if function is torch.Tensor.cuda:
            return args[0]
        if function is torch.Tensor.pin_memory:
            return args[0].clone()
        if function is torch.Tensor.to:
            return function(args[0], *map(_on_cpu, args[1:]), **named)
        if function is torch.Tensor.type and len(args) == 1 and not named:
            # megatron/core/optimizer/clip_grads.py:167 (0.18.0: 178) asserts that gradients are CUDA's.
            return function(*args).replace("torch.", "torch.cuda.")
        return function(*args, **named)


def _on_cpu(value: Any) -> Any:
    is_cuda = isinstance(value, str | torch.device) and str(value).partition(":")[0] == "cuda"
    return _CPU if is_cuda else value


def _seed_cpu(seed: int) -> None:
    torch.default_generator.manual_seed(seed)


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass
