"""What must not stand in a list of processes, a job's script or a log: it travels in environment variables."""

import os
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.store.database.urls import BY_VARIABLE, HIDDEN, VARIABLE, parse, passwords, variable, without_secrets
from verl_spo.training import verl_options

STORE_URL = "spo.store.url"


def store_variable(config: DictConfig) -> str | None:
    """The environment variable that holds the database's URL; None if the configuration itself does."""
    return variable(verl_options.spo_config(config).store.url)


def without_password(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Overrides that name the variable VERL_SPO_DB instead of a database URL with a password.

    This process, and all that it starts, then has the URL in that variable.

    Raises:
        StoreError: The URL is not one of a database.
    """
    url = verl_options.spo_config(config).store.url
    if variable(url) or not passwords(parse(url)):
        return list(overrides)
    os.environ[VARIABLE] = url
    kept = [override for override in overrides if key_of(override) != STORE_URL]
    return [*kept, f"++{STORE_URL}={BY_VARIABLE}{VARIABLE}"]


def check(overrides: Sequence[str]) -> None:
    """Refuse overrides that everybody could read in a job's script or description.

    Raises:
        ConfigError: One holds a secret.
    """
    for override, hidden in zip(overrides, shown(overrides), strict=True):
        if override != hidden:
            key = key_of(override)
            raise ConfigError(
                f"{hidden}: everybody who may see the job would see this secret; put it into an environment variable "
                f"NAME, write {key}=${{oc.env:NAME}} and give --env NAME"
            )


def shown(overrides: Sequence[str]) -> list[str]:
    """Overrides for people: without secrets."""
    return [_hide(override) for override in overrides]


def _hide(override: str) -> str:
    parsed = _parse(override)
    name, equals, value = override.partition("=")
    given = None if parsed.is_sweep_override() else parsed.value()
    if isinstance(given, dict | list):
        return override if without_secrets(given) == given else f"{name}{equals}{HIDDEN}"
    bare, key = value.strip("'\""), parsed.key_or_group
    hidden = without_secrets({key: bare})[key]
    return override if hidden == bare else f"{name}{equals}{hidden}"


def key_of(override: str) -> str:
    """The option that an override sets."""
    return str(_parse(override).key_or_group)


def _parse(override: str) -> Override:
    return OverridesParser.create().parse_override(override)
