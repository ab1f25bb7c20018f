"""Start a recipe: every check first, then verl's own main program with the environment that it needs."""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.cpu import builds
from verl_spo.cpu.environment import ENVIRONMENT as CPU_ENVIRONMENT
from verl_spo.errors import PluginError
from verl_spo.launching import cluster, compose, endings, processes, recipes, run_folder, secrets
from verl_spo.launching.endings import Ended
from verl_spo.launching.log import NAME as LOG_NAME
from verl_spo.launching.log import Log
from verl_spo.launching.processes import Exit
from verl_spo.launching.registration import Registration
from verl_spo.launching.stopping import StopRequest
from verl_spo.store.runs import owners
from verl_spo.training import plugin_check, preflight, quiet, store_location, verl_options
from verl_spo.training.launcher import MARK, STOP_FILE
from verl_spo.training.preflight import notes

_log = logging.getLogger(__name__)

MAIN = "verl.trainer.main_ppo"

_KILLED = 128
"""Statuses above say which signal a process died of."""


@dataclass(frozen=True)
class Launch:
    """A checked recipe, ready to start.

    Attributes:
        config: What verl will see.
        command: The program and its arguments.
        environment: Variables that the run needs beside this process's own.
        recipe: What the user calls the recipe.
        overrides: What the user gave beside it, without the database's password.
    """

    config: DictConfig
    command: list[str]
    environment: dict[str, str]
    recipe: str = ""
    overrides: Sequence[str] = ()

    @property
    def total_steps(self) -> int | None:
        """Training steps, where the recipe says so."""
        steps = self.config.trainer.total_training_steps
        return None if steps is None else int(steps)

    @property
    def folder(self) -> Path:
        """Of the checkpoints and the log."""
        return Path(self.config.trainer.default_local_dir).absolute()

    def run(self, log: Path | None = None, shown: bool = False) -> Ended:
        """Train. No process and no shared memory of the run stays behind on this machine.

        SIGTERM, SIGHUP and SIGUSR1 make SPO's trainers end their step, save and stop. SIGINT, a second signal, and any
        while there is nothing to save, end the run at once.

        Args:
            log: File to append verl's output to; None: `train.log` beside the checkpoints.
            shown: Whether stdout gets the output too.

        Raises:
            StoreError: The database cannot be used, or a live process holds the run.
        """
        with Log(log or self.folder / LOG_NAME, shown) as output, owners.owning() as mark:
            self.folder.mkdir(parents=True, exist_ok=True)
            run_folder.note(self.folder, verl_options.run_name(self.config))
            if not verl_options.is_spo(self.config):
                return endings.of(self._run(output, mark), self.config, output)
            return self._run_registered(output, mark)

    def _run_registered(self, output: Log, mark: str) -> Ended:
        store_url = verl_options.spo_config(self.config).store.url
        with Registration(store_url, verl_options.run_name(self.config), mark) as registration:
            request = StopRequest(self.folder / f".stop-{mark.rpartition(':')[2]}", registration.in_training)
            exited = self._run(output, mark, request)
            request.withdraw()
            if _obeyed(exited, request, registration):
                exited = Exit(exited.status, request.signal)
            ended = endings.of(exited, self.config, output)
            registration.end(ended.error)
        return ended

    def _run(self, output: Log, mark: str, request: StopRequest | None = None) -> Exit:
        environment = self.environment if request is None else {**self.environment, STOP_FILE: str(request.file)}
        ask = request.make if request else None
        if (address := cluster.joins(self.config)) is None:
            return processes.run(self.command, environment, output.file, mark, ask)
        command = [*self.command, *cluster.hand_on({**environment, MARK: mark})]
        if variable := secrets.store_variable(self.config):
            environment = {**environment, **cluster.hand_on_in_secret({variable: os.environ[variable]})}
        exited = processes.run(command, environment, output.file, mark, ask, deaf=True)
        cluster.end_everywhere(mark, address)
        return exited


def prepare(name: str, overrides: Sequence[str]) -> Launch:
    """Compose and check a recipe.

    Raises:
        SPOError: Something is wrong that can be known before the first worker starts.
    """
    config = compose.load(name, overrides)
    check(config)
    return build(name, overrides, config)


def build(name: str, overrides: Sequence[str], config: DictConfig) -> Launch:
    """What a recipe, composed to `config`, stands for: verl's command and its environment. Nothing is checked.

    Raises:
        StoreError: The database's URL is not one.
    """
    given = secrets.without_password(config, overrides) if verl_options.has_history(config) else list(overrides)
    full = given
    if verl_options.has_history(config):
        store = store_location.fixed(verl_options.spo_config(config).store)
        full = [*given, *(recipes.override(f"++{option}", value) for option, value in store.items())]
        config = compose.load(name, full)
    command = [sys.executable, "-m", MAIN, *recipes.hydra_arguments(name), *full]
    environment = {notes.SAID: "1", **(CPU_ENVIRONMENT if config.trainer.device == "cpu" else {})}
    return Launch(config, command, {**quiet.environment(), **environment}, name, given)


def check(config: DictConfig) -> None:
    """Check what can be known on this machine before the first worker starts.

    Raises:
        SPOError: Something is wrong.
    """
    plugin_check.check()
    builds.check()
    try:
        plugin_check.check_version()
    except PluginError as error:
        # A user may know why; the checks that follow say what does not work.
        _log.warning("%s", error)
    if verl_options.evaluates(config):
        preflight.check_evaluation(config)
    elif verl_options.is_spo(config):
        preflight.check(config)
        notes.log(config)
    else:
        preflight.check_without_spo(config)
    cluster.check(config)
    run_folder.check(config)


def _obeyed(exited: Exit, request: StopRequest, registration: Registration) -> bool:
    """Whether a run stopped because it was asked to; a batch system may lose patience, and kill verl itself."""
    if not request.signal or exited.signal:
        return False
    return exited.status > _KILLED or (exited.status == 0 and not registration.finished())
