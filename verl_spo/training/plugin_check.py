"""Whether verl will load the plug-in: verl itself hides a failure at DEBUG level (verl/__init__.py:60-78)."""

import importlib.metadata
import os
from typing import TYPE_CHECKING

from verl_spo.config import ADVANTAGE_ESTIMATOR, TRAINER_MODES
from verl_spo.errors import PluginError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

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
            f"entry point {NAME!r} of group {GROUP!r} is not installed here; `pip install 'verl-spo[verl]'` in this "
            "environment"
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


def tested_versions() -> "Requirement":
    """The versions of verl that this version of verl-spo is tested with, as its own metadata says."""
    from packaging.requirements import Requirement

    required = map(Requirement, importlib.metadata.requires("verl-spo") or ())
    return next(each for each in required if each.name == "verl")


def check_version() -> None:
    """Hold verl's version against the tested ones.

    Raises:
        PluginError: It is another.
    """
    tested = tested_versions()
    try:
        found = importlib.metadata.version("verl")
    except importlib.metadata.PackageNotFoundError as error:
        raise PluginError(
            "verl can be imported but is not installed, so that its version is unknown; verl-spo is tested with "
            f"verl{tested.specifier}"
        ) from error
    if not tested.specifier.contains(found, prereleases=True):
        raise PluginError(
            f"verl {found} is installed, and verl-spo is tested with verl{tested.specifier}: it may fail, or train "
            f"something else; `pip install 'verl{tested.specifier}'`"
        )


def check_registrations() -> None:
    """Import verl's trainer as the TaskRunner does, and look SPO up.

    Raises:
        PluginError: A name is missing.
    """
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
    from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY

    missing = sorted({ADVANTAGE_ESTIMATOR} - set(ADV_ESTIMATOR_REGISTRY)) + sorted(
        set(TRAINER_MODES) - set(TRAINER_REGISTRY)
    )
    if missing:
        raise PluginError(f"verl does not know {', '.join(missing)}: the plug-in loaded but registered nothing")
