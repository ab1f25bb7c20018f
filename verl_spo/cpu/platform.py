"""`cpu`, a verl platform (verl/plugin/platform): torch.cpu as the device, gloo, logical GPUs in Ray."""

import os
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry


class _CPUDeviceModule(types.ModuleType):
    """torch.cpu, completed by the torch.cuda calls that verl makes on any device."""

    def __init__(self) -> None:
        super().__init__("verl_spo_cpu_device")

    def __getattr__(self, name: str) -> Any:
        if name.endswith(("memory_allocated", "memory_reserved")):
            return _zero
        if name.startswith(("manual_seed", "reset_", "set_per_process")) or name in ("empty_cache", "ipc_collect"):
            return _nothing
        return getattr(torch.cpu, name)

    @staticmethod
    def mem_get_info(device: Any = None) -> tuple[int, int]:
        return 0, 0

    @staticmethod
    def get_device_name(device: Any = None) -> str:
        return "CPU"

    @staticmethod
    def set_device(device: Any) -> None:
        pass

    get_rng_state = staticmethod(torch.get_rng_state)
    set_rng_state = staticmethod(torch.set_rng_state)


def _zero(*args: Any, **kwargs: Any) -> int:
    return 0


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


class PlatformCPU(PlatformBase):  # type: ignore[misc]
    """The CPU in the place of an accelerator."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _CPUDeviceModule()

    def is_available(self) -> bool:
        return True

    def current_device(self) -> str:
        """verl passes it on as a `device=` argument, where an index would mean an accelerator."""
        return "cpu"

    def device_count(self) -> int:
        return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        """Logical GPUs: `ray_kwargs.ray_init.num_gpus` says how many workers this machine may hold."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        """No device memory to share: weights travel through POSIX shared memory."""
        return False

    def cudart(self) -> None:
        return None


def register() -> None:
    """Make `VERL_PLATFORM=cpu` known to verl."""
    PlatformRegistry.register(platform="cpu")(PlatformCPU)
