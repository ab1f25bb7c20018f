"""verl's Megatron engine on the CPU: what its class needs beside redirected devices and stand-ins."""

import os
import threading
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import torch

from verl_spo.cpu.megatron import bridge

_METHODS = ("initialize", "train_mode", "eval_mode", "get_per_tensor_param", "save_checkpoint", "load_checkpoint")
"""Through which verl's workers reach an engine, each perhaps from a thread of its own."""

_thread = threading.local()


def adapt(transformer_impl: ModuleType) -> None:
    """Adapt verl/workers/engine/megatron/transformer_impl.py after its import."""
    engine = transformer_impl.MegatronEngine
    engine.load_checkpoint = _resumed_exactly(engine.load_checkpoint)
    for name in _METHODS:
        setattr(engine, name, _prepared(getattr(engine, name)))
    engine.__init__ = _configured(engine.__init__)


def never_fuse(jit: ModuleType) -> None:
    """Adapt megatron/core/jit.py after its import: what it compiles takes a tiny model longer than its training."""
    jit.disable_jit_fuser()


def prepare() -> None:
    """Make this process, and this thread, one in which megatron-core runs on the CPU."""
    from verl_spo.cpu.megatron import layers, redirection

    if getattr(_thread, "prepared", False):
        return
    # mbridge compiles parts of models of others while it is imported, which takes torch.cuda as it was built.
    os.environ["TORCHDYNAMO_DISABLE"] = "1"
    redirection.redirect()
    layers.install()
    # For good: the generator of `get_per_tensor_param` runs after the method has returned.
    redirection.OnCPU().__enter__()  # type: ignore[no-untyped-call]
    _thread.prepared = True


def _prepared(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def prepared(*args: Any, **kwargs: Any) -> Any:
        prepare()
        return method(*args, **kwargs)

    return prepared


def _configured(init: Callable[..., None]) -> Callable[..., None]:
    """verl/workers/config/engine.py:218 admits bfloat16 and float16, in which tiny models lose what they learn."""

    @wraps(init)
    def configured(self: Any, model_config: Any, engine_config: Any, *args: Any, **kwargs: Any) -> None:
        prepare()
        if not engine_config.vanilla_mbridge:
            bridge.install()
        complete(model_config.hf_config)
        # A frozen dataclass of verl's.
        object.__setattr__(engine_config, "dtype", "float32")
        init(self, model_config, engine_config, *args, **kwargs)

    return configured


def complete(hf_config: Any) -> None:
    """mbridge/core/llm_bridge.py:124 asks for what transformers 5 keeps in `rope_parameters`."""
    from verl.utils.megatron_utils import get_hf_rope_theta

    hf_config.rope_theta = get_hf_rope_theta(hf_config)


def _resumed_exactly(load: Callable[..., None]) -> Callable[..., None]:
    """Load torch's AdamW, which megatron-core takes where there is neither Transformer Engine nor Apex.

    A new process's optimizer has no state yet, where megatron/core/optimizer/distrib_optimizer.py:640 wants one; the
    main parameter is a view of a leaf, into which :940 copies; and the steps that it has made, which :817 gives all
    parameters as one tensor, :940 overwrites with those of the new process (0.18.0: 790, 1169, 970).
    """

    @wraps(load)
    def load_exactly(self: Any, *args: Any, **kwargs: Any) -> None:
        chained = getattr(self.optimizer, "chained_optimizers", [self.optimizer])
        # Who only generates loads the weights alone.
        loaded = chained if "optimizer" in self.checkpoint_config.load_contents else []
        optimizers = [each.optimizer for each in loaded]
        for optimizer in optimizers:
            _begin(optimizer)
        with torch.no_grad():
            load(self, *args, **kwargs)
        for optimizer in optimizers:
            _count_steps(optimizer)

    return load_exactly


def _count_steps(optimizer: torch.optim.Optimizer) -> None:
    """Let each parameter have made the steps that the checkpoint notes for its group."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["step"] = torch.tensor(float(group["step"]))


def _begin(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer that has made no step the state of one that is about to."""
    for parameter in (each for group in optimizer.param_groups for each in group["params"]):
        if parameter not in optimizer.state:
            moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[parameter] = {"step": torch.tensor(0.0), **moments}
