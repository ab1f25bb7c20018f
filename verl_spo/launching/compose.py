"""A recipe as the configuration that verl will see."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from verl_spo.errors import ConfigError
from verl_spo.launching import search_path
from verl_spo.launching.recipes import hydra_arguments
from verl_spo.store.database.urls import mask


def load(recipe: str, overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration that verl will see.

    Raises:
        ConfigError: The recipe or an override does not exist or does not parse.
    """
    arguments = hydra_arguments(recipe)
    search_path.register()
    try:
        with _initialized(arguments):
            config: DictConfig = compose(config_name=arguments[-1], overrides=list(overrides))
    except RecursionError as error:
        raise ConfigError(
            f"recipe {recipe!r}: it builds on itself; a file in its folder is named like one of verl's or verl-spo's "
            "that the recipe builds on, and takes its place: rename it"
        ) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"recipe {recipe!r} with {mask(' '.join(overrides)) or 'no overrides'}: {error}") from error
    return config


def _initialized(arguments: Sequence[str]) -> AbstractContextManager[None]:
    """Hydra as `main_ppo` sets it up with these arguments: the folder named first is searched first."""
    folder = arguments[1] if arguments[0] == "--config-path" else str(search_path.verl_configs())
    return initialize_config_dir(folder, version_base=None)  # type: ignore[no-any-return]
