"""Let Hydra find the recipes and the group `spo`, also under stock `python -m verl.trainer.main_ppo`."""

from importlib.util import find_spec
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from verl_spo.launching.recipes import folder, register_resolvers


class RecipesSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Adds the recipes, then verl's own files, behind the folder of the primary configuration.

    That folder is verl's own, or the user's where the recipe is a file of theirs (`--config-path`).
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="verl-spo", path=f"file://{folder()}")
        search_path.append(provider="verl-spo", path=f"file://{verl_configs()}")


def verl_configs() -> Path:
    """The folder of verl's own configurations, found without importing verl, which takes many seconds."""
    found = find_spec("verl")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "trainer" / "config"


def register() -> None:
    """Tell Hydra, in this process; a second call changes nothing."""
    Plugins.instance().register(RecipesSearchPath)
    register_resolvers()
