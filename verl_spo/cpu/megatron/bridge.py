"""Megatron-Bridge, which is verl's own way from Hugging Face to Megatron, without Transformer Engine.

A few of its modules import Transformer Engine whether it is there or not, for classes that only adapters are made of.
They find a stand-in while they are imported. Whoever asks later finds none, as whoever asked before.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import torch

_NAMED = {
    # megatron/bridge/peft/lora_layers.py:81 derives a class from it.
    "Linear": torch.nn.Linear,
    # :238 names it in an annotation.
    "ops": SimpleNamespace(Sequential=torch.nn.Sequential),
    # megatron/bridge/models/gpt_provider.py:425 looks at its arguments.
    "GroupedLinear": torch.nn.Module,
}
"""What is named of `transformer_engine.pytorch` during the import of Megatron-Bridge 0.5.1."""


def install() -> None:
    """Import Megatron-Bridge; a second call changes nothing."""
    if importlib.util.find_spec("transformer_engine") is not None:
        return
    # megatron/core/utils.py:295 (0.18.0) finds out once, and for good.
    importlib.import_module("megatron.core.utils").get_te_version()
    with _stand_in():
        importlib.import_module("megatron.bridge")


@contextmanager
def _stand_in() -> Iterator[None]:
    package, pytorch = ModuleType("transformer_engine"), ModuleType("transformer_engine.pytorch")
    package.__path__ = []
    package.pytorch = pytorch  # type: ignore[attr-defined]
    vars(pytorch).update(_NAMED)
    modules = {module.__name__: module for module in (package, pytorch)}
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
