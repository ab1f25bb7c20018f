"""Whether verl will load the plug-in: verl itself hides a failure at DEBUG level (verl/__init__.py:60-78)."""

import importlib.metadata
import os

from verl_spo.errors import PluginError

GROUP = "verl.plugins"
NAME = "spo"


def check() -> None:
    """Load the plug-in as verl would, and let what fails be seen.

    Raises:
        PluginError: The plug-in is not installed, is switched off, or fails to load.
    """
    found = [entry for entry in importlib.metadata.entry_points(group=GROUP) if entry.name == NAME]
    if not found:
        raise PluginError(
            f"entry point {NAME!r} of group {GROUP!r} is not installed here; `pip install verl-spo` in this environment"
        )
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    if policy.strip().lower() != "auto" and NAME not in [name.strip() for name in policy.lower().split(",")]:
        raise PluginError(
            f"VERL_USE_EXTERNAL_PLUGINS={policy!r} keeps verl from loading {NAME!r}; set auto, or add {NAME}"
        )
    try:
        found[0].load()
    except Exception as error:
        raise PluginError(f"verl cannot load the plug-in: {type(error).__name__}: {error}") from error
