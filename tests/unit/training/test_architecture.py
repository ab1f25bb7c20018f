"""A model's sizes are read where its config.json is: in a folder, in the hub's cache, or in what is published."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.support.configured import configure
from verl_spo.training import architecture
from verl_spo.training.architecture import Architecture

QWEN3_8B = Architecture(
    layers=36,
    hidden=4096,
    heads=32,
    kv_heads=8,
    head_dim=128,
    feed_forward=12288,
    vocabulary=151936,
    positions=40960,
    normed_heads=True,
)


@pytest.mark.parametrize("path", ["Qwen/Qwen3-8B", "/models/Qwen3-8B"])
def test_models_that_recipes_name_are_known_offline(demo_dir: Path, path: str) -> None:
    assert architecture.of(configure(demo_dir, f"actor_rollout_ref.model.path={path}")) == QWEN3_8B


def test_the_folders_own_config_comes_first(demo_dir: Path) -> None:
    folder = demo_dir / "Qwen3-8B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 2, "hidden_size": 64}))
    found = architecture.of(configure(demo_dir, f"actor_rollout_ref.model.path={folder}"))
    assert found == Architecture(layers=2, hidden=64)


def test_an_unknown_model_is_not_known(demo_dir: Path) -> None:
    assert architecture.of(configure(demo_dir, "actor_rollout_ref.model.path=some/model")) is None


def test_what_the_recipe_overrides_counts(demo_dir: Path) -> None:
    config = configure(demo_dir, recipe="qwen3_8b/spo_megatron")
    config.actor_rollout_ref.model.override_config = {"model_config": {"max_position_embeddings": 8192}}
    found = architecture.of(config)
    assert found is not None
    assert found.positions == 8192


def test_a_model_of_more_than_text_has_its_sizes_deeper() -> None:
    text = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 64, "num_experts": 8}
    found = Architecture.from_mapping({"text_config": text, "tie_word_embeddings": True})
    assert found == Architecture(layers=3, hidden=64, heads=4, kv_heads=4, head_dim=16, experts=8, tied=True)


@pytest.mark.parametrize("name", architecture.published())
def test_parameters_are_those_of_the_real_model(name: str) -> None:
    folder = architecture.find(name)
    assert folder is not None
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    found = Architecture.from_mapping(json.loads((folder / "config.json").read_text()))
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_adapters_have_a_row_and_a_column_of_each_linear_layer_per_rank() -> None:
    # In + out of q, k and v, o, gate and up and down.
    widths = 2 * 4096 + 2 * (4096 + 1024) + 2 * 4096 + 3 * (4096 + 12288)
    assert QWEN3_8B.adapters(32) == 36 * 32 * widths
