"""Lets Hydra find verl-spo's recipes and its `spo` group, also under stock `python -m verl.trainer.main_ppo`.

Hydra discovers plug-ins in the namespace package `hydra_plugins`.
"""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class VerlSPOSearchPath(SearchPathPlugin):  # type: ignore[misc]
    """Adds `verl_spo/recipes` behind the application's own folder."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append(provider="verl-spo", path="pkg://verl_spo.recipes")
