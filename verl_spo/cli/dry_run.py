"""`verl-spo train --dry-run`: all that can be known before the first accelerator is taken."""

from collections.abc import Sequence

from verl_spo.cli import doctor, plan


def report(name: str, overrides: Sequence[str], shown: str) -> bool:
    """Print what every check of a recipe finds, its plan, the configuration that verl will see, what would be started.

    Args:
        name: Of the recipe.
        overrides: Hydra overrides.
        shown: The command, script or manifest.

    Returns:
        Whether no check fails and the plan fits.

    Raises:
        ConfigError: It does not compose, or the shape of its model is not known here.
    """
    from verl_spo.launching import commands, compose, launch

    config = compose.load(name, overrides)
    good = doctor.report(name, overrides)
    if config.trainer.device != "cpu":
        print("\n# Plan\n")
        good = plan.report(config) and good
    print("\n# What verl will see\n")
    print(commands.resolved(launch.build(name, overrides, config)))
    print("# What --print shows\n")
    print(shown, end="")
    return good
