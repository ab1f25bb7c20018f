"""Which extras are installed: `pip install verl-spo` alone brings SPO, the store and the commands that read."""

import importlib.util

from verl_spo.cpu import builds
from verl_spo.errors import ConfigError

MODULES = {
    "verl": ("verl", "transfer_queue", "wrapt", "psutil"),
    "dashboard": ("streamlit",),
    "dashboard-auth": ("streamlit", "authlib", "httpx"),
    "cpu": ("vllm",),
    "math": ("math_verify", "pebble"),
    "report": ("altair", "vl_convert"),
    "simulate": ("simpy",),
    "reasoning-gym": ("reasoning_gym", "pebble"),
}


def require(*extras: str) -> None:
    """Refuse a command whose extras are not installed, or which cannot import verl.

    Raises:
        ConfigError: One is missing; the message says how to install it.
        PluginError: Builds of torch and torchvision that do not go together.
    """
    missing = [extra for extra in extras if any(importlib.util.find_spec(name) is None for name in MODULES[extra])]
    if missing:
        names = ",".join(missing)
        raise ConfigError(f"this command needs what `pip install 'verl-spo[{names}]'` brings, and it is not installed")
    if "verl" in extras:
        builds.check()
