import importlib.util
from pathlib import Path

import pytest

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.launching import recipes
from verl_spo.training.preflight import transformer

OPTION = "actor_rollout_ref.actor.megatron.override_transformer_config"


def test_a_misspelt_option_of_megatrons_is_refused(demo_dir: Path) -> None:
    with pytest.raises(
        ConfigError, match="recompute_granularty: Megatron has no such option; did you mean recompute_gr"
    ):
        transformer.check(configure(demo_dir, f"{OPTION}.recompute_granularty=full", recipe="qwen3_8b/spo_megatron"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes.names())
def test_recipes_name_options_that_there_are(demo_dir: Path, recipe: str) -> None:
    assert transformer.check(configure(demo_dir, recipe=recipe)) is None


def test_without_megatron_nothing_is_checked(demo_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def find_spec(name: str) -> object:
        if name == "megatron.core":
            raise ModuleNotFoundError("No module named 'megatron'")
        return None if name == "megatron" else real(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    config = configure(demo_dir, recipe="qwen3_8b/spo_megatron")
    assert transformer.check(config) == "megatron-core is not installed here"
