"""What must hold before any worker starts: every check names the option, its value and the remedy.

`verl-spo train` runs them before Ray starts; the trainer runs them again, for those who call verl themselves.
"""

from omegaconf import DictConfig

from verl_spo.training.preflight import options, rewards
from verl_spo.training.preflight.checks import Check, cheap, of_evaluation, thorough
from verl_spo.training.preflight.data import check_pool_size
from verl_spo.training.preflight.rescoring import check_processor
from verl_spo.training.verl_options import spo_config

__all__ = [
    "Check",
    "cheap",
    "check",
    "check_evaluation",
    "check_options",
    "check_pool_size",
    "check_processor",
    "check_without_spo",
    "thorough",
]


def check(config: DictConfig) -> None:
    """Run every cheap check of a recipe with SPO.

    Raises:
        ConfigError: Options contradict each other.
        DataError: A data file or model folder is missing, empty or lacks what SPO needs.
        StoreError: The database cannot be used.
        CheckpointError: The checkpoint to start from is not what it is said to be.
    """
    for each in cheap(config, with_spo=True):
        each.run()


def check_options(config: DictConfig) -> None:
    """Run the checks of a recipe with SPO that need neither files nor the database, as for a run on other machines.

    Raises:
        ConfigError: Options contradict each other.
    """
    options.check(config, spo_config(config))
    rewards.check_names(config)


def check_evaluation(config: DictConfig) -> None:
    """Run the cheap checks of an evaluation.

    Raises:
        ConfigError: Options contradict each other.
        DataError: A benchmark or the model is missing or empty.
        StoreError: The database cannot be used.
    """
    for each in of_evaluation(config, spo_config(config)):
        each.run()


def check_without_spo(config: DictConfig) -> None:
    """Run the cheap checks of a recipe without SPO, such as a GRPO baseline.

    Raises:
        ConfigError: Options contradict each other.
        DataError: The model folder is empty.
    """
    for each in cheap(config, with_spo=False):
        each.run()
