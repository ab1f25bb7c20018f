"""Recipes: named verl configurations that ship with the package, or the user's own YAML files."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from verl_spo.errors import ConfigError

VERL_CONFIGS = "verl.trainer.config"
_GROUPS = ("spo",)


def names() -> list[str]:
    """The recipes that ship with verl-spo, such as `cpu/arithmetic_spo`; files named `_*` are parts of them."""
    root = Path(str(files("verl_spo.recipes")))
    recipes = (path.relative_to(root) for path in root.rglob("*.yaml") if not path.name.startswith("_"))
    return sorted(path.with_suffix("").as_posix() for path in recipes if path.parts[0] not in _GROUPS)


def hydra_arguments(recipe: str) -> list[str]:
    """How verl's main_ppo is told of a recipe: by name, or by folder and name for a YAML file."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"recipe {recipe!r}: no such file")
        return ["--config-dir", str(path.parent.resolve()), "--config-name", path.stem]
    if recipe not in names():
        raise ConfigError(f"recipe {recipe!r}: no such recipe; there are {', '.join(names())}, or name a YAML file")
    return ["--config-name", recipe]


def load(recipe: str, overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration that verl will see.

    Raises:
        ConfigError: The recipe or an override does not exist or does not parse.
    """
    arguments = hydra_arguments(recipe)
    try:
        if arguments[0] == "--config-dir":
            # A file of the user's is the primary configuration, so verl's own come second on the search path.
            with initialize_config_dir(arguments[1], version_base=None):
                return _composed(arguments[-1], [f"hydra.searchpath=[pkg://{VERL_CONFIGS}]", *overrides])
        with initialize_config_module(VERL_CONFIGS, version_base=None):
            return _composed(arguments[-1], overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"recipe {recipe!r} with {' '.join(overrides) or 'no overrides'}: {error}") from error


def override(name: str, value: object) -> str:
    """A Hydra override of any text, such as a path with blanks."""
    # Hydra takes a backslash for itself unless a quote follows.
    quoted = str(value).replace("'", "\\'")
    return f"{name}='{quoted}'"


def _composed(name: str, overrides: Sequence[str]) -> DictConfig:
    config: DictConfig = compose(config_name=name, overrides=list(overrides))
    return config
