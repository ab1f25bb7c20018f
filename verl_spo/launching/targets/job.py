"""What a cluster needs to know of a run."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from verl_spo.errors import ConfigError
from verl_spo.launching import commands, compose, secrets
from verl_spo.store.database.urls import without_secrets
from verl_spo.training import preflight, store_location, verl_options

_NAME_LENGTH = 40
"""Kubernetes adds to a job's name, and allows 63 letters."""


@dataclass(frozen=True)
class Job:
    """A run to start on other machines.

    Attributes:
        config: What verl will see, interpolations unresolved.
        recipe: A recipe's name, or a YAML file of this machine.
        overrides: Hydra overrides, without secrets.
        nodes: Machines that the run fills.
        gpus_per_node: Accelerators on each; 0 on the CPU.
        variables: Names of the environment variables that it needs beside the cluster's own, the database's first.
    """

    config: DictConfig
    recipe: str
    overrides: Sequence[str]
    nodes: int
    gpus_per_node: int
    variables: Sequence[str]

    @property
    def run(self) -> str:
        """Name of the run in the store."""
        return verl_options.run_name(self.config)

    @property
    def name(self) -> str:
        """Of the job: letters, digits and hyphens."""
        words = re.sub(r"[^a-z0-9]+", "-", self.run.lower())
        return words[:_NAME_LENGTH].strip("-") or "verl-spo"

    @property
    def file(self) -> Path | None:
        """The recipe, if it is a file of this machine."""
        return Path(self.recipe) if self.recipe.endswith(".yaml") else None

    def environment(self) -> dict[str, str]:
        """The variables with their values.

        Raises:
            ConfigError: One is not set here.
        """
        if unset := [name for name in self.variables if name not in os.environ]:
            raise ConfigError(f"the variable {unset[0]} is not set; export it, or leave out --env {unset[0]}")
        return {name: os.environ[name] for name in self.variables}

    def command(self, program: Sequence[str] = ("verl-spo", "train")) -> str:
        """What a shell of the cluster runs, on one line."""
        return commands.own_command(self.recipe, self.overrides, program)

    def found_at(self, place: str) -> "Job":
        """The job where the cluster has the recipe's file at another place."""
        return replace(self, recipe=place)

    def composed_at(self, place: str) -> "Job":
        """The job where the cluster has there what the recipe and the overrides are composed to."""
        return replace(self, recipe=place, overrides=())

    def composed(self) -> str:
        """The whole configuration as a recipe, which needs no other file.

        Raises:
            ConfigError: There is a secret in it.
        """
        plain = OmegaConf.to_container(self.config, resolve=False)
        if plain != without_secrets(plain):
            raise ConfigError(
                f"recipe {self.recipe!r}: everybody who may see the job would see the secrets in it; put them into "
                "environment variables NAME, write ${oc.env:NAME} in their place and give --env NAME"
            )
        return str(OmegaConf.to_yaml(self.config, resolve=False))


def of(recipe: str, overrides: Sequence[str], variables: Sequence[str] = ()) -> Job:
    """Make a job of a recipe, checked as far as no file and no database is asked.

    Args:
        recipe: A recipe's name, or a YAML file.
        overrides: Hydra overrides.
        variables: Names of environment variables that the run needs there.

    Raises:
        ConfigError: The recipe or an override does not hold, or there is a secret where everybody would see it.
    """
    config = compose.load(recipe, overrides)
    needed = list(variables)
    if verl_options.is_spo(config):
        preflight.check_options(config)
        overrides = secrets.without_password(config, overrides)
        config = compose.load(recipe, overrides)
        needed = [*filter(None, [secrets.store_variable(config)]), *variables]
    secrets.check(overrides)
    nodes, gpus = _size(config)
    return Job(config, recipe, overrides, nodes, gpus, list(dict.fromkeys(needed)))


def check_reachable(job: Job, why: str) -> None:
    """Refuse a database that only this machine has.

    Raises:
        ConfigError: It is a relative SQLite file.
    """
    if verl_options.is_spo(job.config) and not secrets.store_variable(job.config):
        store_location.check_path(verl_options.spo_config(job.config).store.url, why)


def _size(config: DictConfig) -> tuple[int, int]:
    """Nodes, and accelerators on each; machines that only generate come on top (trainer_separate_async.py:60)."""
    trainer, rollout = config.trainer, config.actor_rollout_ref.rollout
    nodes, gpus = int(trainer.nnodes), int(trainer.n_gpus_per_node)
    if trainer.v1.trainer_mode.endswith("separate_async"):
        nodes, gpus = nodes + int(rollout.nnodes), max(gpus, int(rollout.n_gpus_per_node))
    return nodes, 0 if trainer.device == "cpu" else gpus
