"""What torch allocates, and what it keeps for a backward pass, in bytes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import UntypedStorage
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Allocations(TorchDispatchMode):
    """While it is on, what operators allocate; `peak` is the most at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an operator, and count."""
        result = function(*args, **(kwargs or {}))
        given = {
            each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)
        }
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in given:
                self._note(tensor.untyped_storage())
        self._forget_the_dead()
        self.peak = max(self.peak, sum(self._alive.values()))
        return result

    def _note(self, storage: UntypedStorage) -> None:
        self._alive.setdefault(storage._weak_ref(), storage.nbytes())

    def _forget_the_dead(self) -> None:
        for reference in [each for each in self._alive if UntypedStorage._expired(each)]:
            del self._alive[reference]
            UntypedStorage._free_weak_ref(reference)


@contextmanager
def kept(module: torch.nn.Module) -> Iterator[list[int]]:
    """The bytes that the forward passes in the block keep for their backward pass, without the module's parameters.

    Yields:
        A list that has them, one number a storage, when the block is left.
    """
    storages: dict[int, UntypedStorage] = {}
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes
    own = {each.untyped_storage()._cdata for each in (*module.parameters(), *module.buffers())}
    sizes.extend(storage.nbytes() for key, storage in storages.items() if key not in own)
