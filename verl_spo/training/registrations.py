"""What verl's TaskRunner will find in its registries."""

from verl_spo.config import ADVANTAGE_ESTIMATOR, TRAINER_MODES
from verl_spo.errors import PluginError


def check() -> None:
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
