"""Sizes of process groups that verl's own validation accepts are refused here."""

from pathlib import Path

import pytest
from omegaconf import DictConfig

from tests.support.configured import configure
from verl_spo.errors import ConfigError
from verl_spo.launching import compose
from verl_spo.training import architecture
from verl_spo.training.architecture import Architecture
from verl_spo.training.preflight import parallel

MEGATRON = "qwen3_8b/spo_megatron"
FSDP = "qwen3_8b/spo_fsdp"
TENSOR = "actor_rollout_ref.actor.megatron.tensor_model_parallel_size"
PIPELINE = "actor_rollout_ref.actor.megatron.pipeline_model_parallel_size"
VIRTUAL = "actor_rollout_ref.actor.megatron.virtual_pipeline_model_parallel_size"
EXPERT = "actor_rollout_ref.actor.megatron.expert_model_parallel_size"
ROLLOUT = "actor_rollout_ref.rollout.tensor_model_parallel_size"


def refusal(demo_dir: Path, recipe: str, *overrides: str, model: Architecture | None = None) -> str:
    config = configure(demo_dir, *overrides, recipe=recipe)
    found = model or architecture.of(config)
    assert found is not None
    with pytest.raises(ConfigError) as caught:
        _check(config, found)
    return str(caught.value)


def _check(config: DictConfig, model: Architecture) -> None:
    parallel.check(config)
    parallel.check_model(config, model)


@pytest.mark.parametrize(
    ("recipe", "overrides", "expected"),
    [
        (
            MEGATRON,
            [f"{TENSOR}=3"],
            "tensor 3 x pipeline 1 x context 1 parallel is 3, which does not divide the 8 GPUs",
        ),
        (MEGATRON, [f"{TENSOR}=4", f"{PIPELINE}=4"], "parallel is 16, which does not divide the 8 GPUs"),
        (MEGATRON, [f"{VIRTUAL}=2"], f"{VIRTUAL}=2: parts of a stage take turns only in a pipeline; set null"),
        (MEGATRON, [f"{PIPELINE}=8", f"{TENSOR}=1"], "=8: does not divide the model's layers, 36; set a divisor"),
        (MEGATRON, [f"{PIPELINE}=2", f"{VIRTUAL}=4"], "=8: does not divide the model's layers, 36"),
        (
            MEGATRON,
            [f"{EXPERT}=3"],
            f"{EXPERT}=3: x expert tensor 2 x pipeline 1 is 6, which does not divide the 8 GPUs",
        ),
        (MEGATRON, [f"{EXPERT}=2"], f"{EXPERT}=2: the model has no experts; set 1"),
        (
            MEGATRON,
            [f"{ROLLOUT}=3"],
            f"{ROLLOUT}=3: an engine of 3 GPUs (x data_parallel_size 1) does not divide the 8",
        ),
        (
            MEGATRON,
            ["trainer.n_gpus_per_node=12", f"{ROLLOUT}=6"],
            f"{ROLLOUT}=6: does not divide the model's attention",
        ),
        (FSDP, ["actor_rollout_ref.actor.ulysses_sequence_parallel_size=3"], "=3: does not divide the 8 GPUs"),
        (FSDP, ["actor_rollout_ref.actor.fsdp_config.fsdp_size=3"], "fsdp_size=3: does not divide the 8 GPUs"),
        (
            "qwen3_8b/spo_megatron_async",
            ["actor_rollout_ref.rollout.n_gpus_per_node=6", f"{ROLLOUT}=4"],
            f"{ROLLOUT}=4: an engine of 4 GPUs (x data_parallel_size 1) does not divide the 6 that generate",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(demo_dir: Path, recipe: str, overrides: list[str], expected: str) -> None:
    assert expected in refusal(demo_dir, recipe, *overrides)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Architecture(heads=3), "does not divide the model's attention heads, 3"),
        (Architecture(heads=6, kv_heads=3), "is neither a divisor nor a multiple of the model's 3 heads of keys"),
        (Architecture(vocabulary=151_937), "does not divide the model's vocabulary, 151937"),
        (Architecture(feed_forward=5), "does not divide the width of the model's feed-forward layers, 5"),
    ],
)
def test_a_model_that_cannot_be_divided_by_tensor_is_refused(
    demo_dir: Path, model: Architecture, expected: str
) -> None:
    assert f"{TENSOR}=2: {expected}" in refusal(demo_dir, MEGATRON, model=model)


def test_uneven_stages_are_megatrons_matter(demo_dir: Path) -> None:
    uneven = "actor_rollout_ref.actor.megatron.override_transformer_config.num_layers_in_first_pipeline_stage=8"
    config = configure(demo_dir, f"{PIPELINE}=8", f"{TENSOR}=1", uneven, recipe=MEGATRON)
    parallel.check_model(config, Architecture(layers=36))


def test_megatron_bridge_may_pad_the_vocabulary(demo_dir: Path) -> None:
    model = Architecture(vocabulary=151_937)
    padding = "actor_rollout_ref.actor.megatron.override_transformer_config.should_pad_vocab=True"
    parallel.check_model(configure(demo_dir, padding, recipe=MEGATRON), model)
    mbridge = "actor_rollout_ref.actor.megatron.vanilla_mbridge=True"
    with pytest.raises(ConfigError, match="does not divide the model's vocabulary"):
        parallel.check_model(configure(demo_dir, padding, mbridge, recipe=MEGATRON), model)


def test_ranks_beyond_the_kv_heads_get_copies(demo_dir: Path) -> None:
    config = configure(demo_dir, f"{TENSOR}=8", recipe=MEGATRON)
    parallel.check_model(config, Architecture(heads=32, kv_heads=4, vocabulary=8, feed_forward=8, layers=1))


def test_a_rollout_engine_does_not_lie_across_nodes(demo_dir: Path) -> None:
    overrides = ("trainer.nnodes=3", "actor_rollout_ref.rollout.tensor_model_parallel_size=6")
    with pytest.raises(
        ConfigError, match=r"tensor_model_parallel_size=6: an engine of 6 GPUs would lie across nodes of 8"
    ):
        parallel.check(compose.load(MEGATRON, overrides))
    parallel.check(compose.load("qwen3_8b/spo_megatron", [*overrides[:1], f"{overrides[1][:-1]}8"]))


def test_other_gpus_than_the_recipes_can_be_asked_about(demo_dir: Path) -> None:
    config = configure(demo_dir, f"{ROLLOUT}=3", recipe=MEGATRON)
    # Fewer than a node has: none lies across two.
    parallel.check(config, gpus=6)
    with pytest.raises(ConfigError, match="parallel is 2, which does not divide the 9 GPUs that train"):
        parallel.check(config, gpus=9)


def test_another_engine_of_verls_is_left_to_verl(tmp_path: Path) -> None:
    recipe = tmp_path / "veomni.yaml"
    recipe.write_text("defaults: [/ppo_trainer, _self_, {override /model_engine: veomni}]\n")
    parallel.check(compose.load(str(recipe), []))
