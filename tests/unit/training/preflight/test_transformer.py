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


def test_an_entropy_in_chunks_cannot_be_trained_on(demo_dir: Path) -> None:
    coefficient, chunks = (
        f"actor_rollout_ref.actor.{option}" for option in ("entropy_coeff=0.01", "entropy_from_logits_with_chunking")
    )
    with pytest.raises(ConfigError, match=r"entropy_coeff=0\.01: with Megatron the gradient of an entropy in chunks"):
        transformer.check(configure(demo_dir, coefficient, recipe="qwen3_8b/spo_megatron"))
    assert (
        transformer.check(configure(demo_dir, coefficient, f"{chunks}=False", recipe="qwen3_8b/spo_megatron")) is None
    )


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


def test_megatron_bridge_without_transformer_engine_is_not_imported(
    demo_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, there = importlib.util.find_spec, {"megatron.bridge": object(), "transformer_engine": None}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there[name] if name in there else real(name))
    said = transformer.check(configure(demo_dir, recipe="qwen3_8b/spo_megatron"))
    assert said == "Megatron-Bridge is installed here without Transformer Engine, and does not import"
