"""Start a recipe: every check first, then verl's own main program with the environment that it needs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from omegaconf import DictConfig

from verl_spo.store import open_reader, queries
from verl_spo.store.admin import note_stopped
from verl_spo.store.engine import writing
from verl_spo.training import plugin_check, preflight, processes, recipe
from verl_spo.training.cpu.environment import ENVIRONMENT as CPU_ENVIRONMENT

MAIN = "verl.trainer.main_ppo"


@dataclass(frozen=True)
class Launch:
    """A checked recipe, ready to start.

    Attributes:
        config: What verl will see.
        command: The program and its arguments.
        environment: Variables that the run needs beside this process's own.
    """

    config: DictConfig
    command: list[str]
    environment: dict[str, str]

    @property
    def total_steps(self) -> int | None:
        """Training steps, where the recipe says so."""
        steps = self.config.trainer.total_training_steps
        return None if steps is None else int(steps)

    def run(self, output: IO[bytes] | None = None) -> int:
        """Train; returns the exit status. No process and no shared memory of the run stays behind."""
        status = processes.run(self.command, self.environment, output)
        if status and is_spo(self.config):
            _note_stopped(preflight.spo_config(self.config).store.url, preflight.run_name(self.config))
        return status


def prepare(name: str, overrides: Sequence[str]) -> Launch:
    """Compose and check a recipe.

    Raises:
        SPOError: Something is wrong that can be known before the first worker starts.
    """
    config = recipe.load(name, overrides)
    plugin_check.check()
    if is_spo(config):
        preflight.check(config)
    command = [sys.executable, "-m", MAIN, *recipe.hydra_arguments(name), *overrides]
    return Launch(config, command, CPU_ENVIRONMENT if config.trainer.device == "cpu" else {})


def _note_stopped(store_url: str, run_name: str) -> None:
    """An interrupted trainer is killed before it can say so; one that never got to the store left nothing to note."""
    with writing(store_url, make=True) as engine, open_reader(store_url) as reader:
        if queries.find_run(reader, run_name) is not None:
            note_stopped(engine, run_name)


def is_spo(config: DictConfig) -> bool:
    """Whether a recipe trains with SPO; others, such as a GRPO baseline, run as verl has them."""
    return bool(config.trainer.v1.trainer_mode.startswith("spo_") or config.algorithm.adv_estimator == "spo")
