"""Weights from a trainer to separate rollout workers on the same machine, through a file in shared memory.

verl's own engines for `separate_async` (NCCL, NIXL, HCCL, ...) need an accelerator. Selected with
`actor_rollout_ref.rollout.checkpoint_engine.backend=shared_memory` and
`...custom_backend_module=verl_spo.cpu.weights`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from verl.checkpoint_engine.base import CheckpointEngine, CheckpointEngineRegistry

NAME = "shared_memory"
FOLDER = Path("/dev/shm")  # noqa: S108
POLL_S = 0.01


@CheckpointEngineRegistry.register(NAME)
class SharedMemoryCheckpointEngine(CheckpointEngine):  # type: ignore[misc]
    """The first trainer rank writes one safetensors file a sync; every rollout worker reads it."""

    def __init__(self, bucket_size: int, is_master: bool = False) -> None:
        self._is_master = is_master
        self._path: Path | None = None

    def prepare(self) -> dict[str, str] | None:
        """Name the file of the coming sync."""
        return {"path": str(FOLDER / f"verl_weights_{uuid.uuid4().hex}")} if self._is_master else None

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[dict[str, str] | None]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Tell everybody the name."""
        path = next(entry["path"] for entry in metadata if entry)
        return {"path": [path] * actor_wg_world_size}, {"path": [path] * rollout_world_size}

    def init_process_group(self, path: str) -> None:
        """Take note of the name."""
        self._path = Path(path)

    def finalize(self) -> None:
        """Remove the file, once all have read it."""
        if self._is_master and self._path is not None:
            self._path.unlink(missing_ok=True)
        self._path = None

    async def send_weights(
        self, weights: Iterable[tuple[str, torch.Tensor]], global_steps: int | None = None
    ) -> dict[str, Any]:
        """Write the weights; the file appears whole."""
        # Every rank drains the generator: gathering a tensor is collective.
        named = {name: weight.detach().contiguous() for name, weight in weights}
        if self._is_master:
            assert self._path is not None
            unfinished = self._path.with_suffix(".unfinished")
            save_file({name: weight.clone() for name, weight in named.items()}, unfinished)
            unfinished.rename(self._path)
        return {}

    async def receive_weights(self, global_steps: int | None = None) -> AsyncIterator[tuple[str, torch.Tensor]]:
        """Read the weights as soon as they are there; the trainer's deadline covers the wait."""
        assert self._path is not None
        while not self._path.exists():
            await asyncio.sleep(POLL_S)
        with safe_open(self._path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)
