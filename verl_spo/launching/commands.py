"""A launch as what a user can type: verl's command, and verl-spo's own."""

import shlex
from collections.abc import Iterator, Sequence

from omegaconf import OmegaConf

from verl_spo.launching import recipes, secrets
from verl_spo.launching.launch import Launch
from verl_spo.store.database.urls import variable, without_secrets
from verl_spo.training import verl_options
from verl_spo.training.preflight import notes


def verl_command(launch: Launch) -> str:
    """The plain command that a recipe stands for, as a script for any POSIX shell, without secrets."""
    variables = {name: value for name, value in launch.environment.items() if name != notes.SAID}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    if verl_options.is_spo(launch.config) and (name := secrets.store_variable(launch.config)):
        lines.insert(0, f': "${{{name}:?must hold the URL of the database}}"')
    return "\n".join([*lines, " \\\n    ".join(_words(launch)), ""])


def own_command(recipe: str, overrides: Sequence[str], program: Sequence[str] = ("verl-spo", "train")) -> str:
    """How verl-spo trains a recipe, on one line of a shell, without secrets."""
    return shlex.join([*program, recipe, *secrets.shown(overrides)])


def resolved(launch: Launch) -> str:
    """The configuration that verl will see, as YAML, without secrets."""
    return OmegaConf.to_yaml(OmegaConf.create(without_secrets(verl_options.plain(launch.config))))


def first_lines(launch: Launch) -> Iterator[str]:
    """What to know of a run before verl says anything: its name, where to watch it, how to go on with it."""
    yield f"run:       {verl_options.run_name(launch.config)}"
    if verl_options.is_spo(launch.config):
        url = verl_options.spo_config(launch.config).store.url
        shown = url if variable(url) else without_secrets(url)
        yield f"dashboard: {shlex.join(['verl-spo', 'dashboard', '--db', shown])}"
    yield f"resume:    {own_command(launch.recipe, launch.overrides)}"


def _words(launch: Launch) -> list[str]:
    """Program and arguments, one override per line of the script."""
    fixed = 3 + len(recipes.hydra_arguments(launch.recipe))
    return [shlex.join(launch.command[:fixed]), *map(shlex.quote, secrets.shown(launch.command[fixed:]))]
