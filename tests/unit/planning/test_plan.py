"""Recipes that ship, planned."""

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig
from typer.testing import CliRunner

from verl_spo.cli.main import app
from verl_spo.errors import ConfigError
from verl_spo.launching import compose
from verl_spo.planning import plan, settings
from verl_spo.planning.hardware import Hardware

pytestmark = pytest.mark.slow

RUN = CliRunner()
MEGATRON = "actor_rollout_ref.actor.megatron"
ACTOR = "actor_rollout_ref.actor"
ROLLOUT = "actor_rollout_ref.rollout"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "memory"),
    [
        ("qwen3_8b/spo_megatron", 80),
        ("qwen3_8b/spo_megatron_4nodes", 80),
        ("qwen3_8b/spo_megatron_async", 80),
        ("qwen3_8b/spo_fsdp", 80),
        ("qwen3_8b/grpo_megatron", 80),
        ("qwen3_0_6b/spo_megatron", 24),
        ("qwen3_0_6b/spo_fsdp", 24),
        ("qwen3_0_6b/spo_fsdp_lora", 24),
    ],
)
def test_a_recipe_fits_what_it_is_for(recipe: str, memory: float) -> None:
    made = plan.make(compose.load(recipe, []), Hardware(memory=memory))
    assert made.problems == ()
    assert made.rollout.sequences > 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "gpus", "memory", "overrides"),
    [
        ("update", 8, 80, [f"{MEGATRON}.tensor_model_parallel_size=1"]),
        ("update", 8, 80, [f"{MEGATRON}.override_transformer_config.recompute_granularity=null"]),
        ("update", 8, 48, []),
        ("generation", 8, 80, [f"{MEGATRON}.param_offload=False"]),
        ("generation", 8, 80, [f"{ROLLOUT}.gpu_memory_utilization=0.97"]),
        ("kv_cache", 8, 80, [f"{ROLLOUT}.gpu_memory_utilization=0.1"]),
    ],
)
def test_what_cannot_fit_names_a_knob_that_helps(phase: str, gpus: int, memory: float, overrides: list[str]) -> None:
    made = planned(memory, gpus, overrides)
    (problem,) = (each for each in made.problems if each.phase == phase)
    knob = problem.knobs[0].removeprefix("set ")
    group = knob.partition(".recompute")[0]
    turned = knob.replace(", .", f" {group}.").split(" ")
    again = planned(memory, gpus, [*overrides, *turned])
    left = [each for each in again.problems if each.phase == phase]
    assert left == [] or left[0].needs < problem.needs


def planned(memory: float, gpus: int, overrides: list[str]) -> plan.Plan:
    return plan.make(compose.load("qwen3_8b/spo_megatron", overrides), Hardware(memory=memory), gpus)


def test_the_command_says_what_fits() -> None:
    result = RUN.invoke(app, ["plan", "qwen3_8b/spo_megatron", "--gpus", "8", "--memory", "80"])
    assert result.exit_code == 0, result.output
    for part in ("8,190,735,360 parameters on 8 GPUs (TP 2", "optimizer", "11.4", "KV cache", "every phase fits"):
        assert part in result.output


def test_what_cannot_fit_ends_with_1_and_the_knob() -> None:
    result = RUN.invoke(app, ["plan", "qwen3_8b/spo_megatron", "--memory", "40"])
    assert result.exit_code == 1
    assert "cannot fit: update: needs 5" in result.output
    assert f"set {MEGATRON}.tensor_model_parallel_size=4" in result.output


def test_json_has_all_of_it() -> None:
    arguments = ["plan", "qwen3_8b/spo_fsdp", "--json", "--response-tokens", "3000", "--mfu", "0.3"]
    result = RUN.invoke(app, arguments)
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    assert made["fits"] is True
    assert made["problems"] == []
    assert made["model"]["parameters"] == 8_190_735_360
    assert made["work"]["response"] == 3000
    assert made["assumed"]["mfu"] == 0.3
    sizes = made["bytes_per_gpu"]["training"]
    assert sizes["parameters"] == 8_190_735_360 * 4 / 8
    phases = made["bytes_per_gpu"]["phases"]
    assert phases["update"] > sizes["parameters"] + sizes["gradients"] + sizes["optimizer"] + sizes["logits"]
    assert phases["limit"] == 80 * 2**30
    seconds = made["seconds_per_step"]
    assert seconds["total"] == pytest.approx(
        sum(seconds[name] for name in seconds if name not in ("total", "overlaps"))
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"{ACTOR}.use_kl_loss=True", "use_kl_loss=True: a plan knows one policy"),
        (
            f"{MEGATRON}.tensor_model_parallel_size=3",
            "tensor 3 x pipeline 1 x context 1 parallel is 3, which does not divide the 8",
        ),
        (f"{ROLLOUT}.tensor_model_parallel_size=3", "=3: an engine of 3 GPUs .* does not divide the 8 that generate"),
        (f"{ACTOR}.use_dynamic_bsz=False", "ppo_micro_batch_size_per_gpu=None: set it, or"),
        ("actor_rollout_ref.model.path=Qwen/Qwen3-32B", "give a local folder"),
    ],
)
def test_what_no_plan_can_be_made_of_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(80, 8, [override])


def config(*overrides: str) -> DictConfig:
    return compose.load("qwen3_8b/spo_megatron", list(overrides))


def test_fixed_micro_batches_have_the_longest_sequences() -> None:
    fixed = config(f"{ACTOR}.use_dynamic_bsz=False", f"{ACTOR}.ppo_micro_batch_size_per_gpu=2")
    assert settings.training(fixed, None).tokens == 2 * 10_240


def test_only_kl_scores_previous_responses_again() -> None:
    assert settings.work(config(), None, None).rescoring
    assert not settings.work(config("spo.retention=drift"), None, None).rescoring
    assert not settings.work(compose.load("qwen3_8b/grpo_megatron", []), None, None).rescoring


def test_grpo_has_as_many_trajectories() -> None:
    grpo = settings.work(compose.load("qwen3_8b/grpo_megatron", []), None, None)
    assert (grpo.trajectories, grpo.updates) == (1024, 8)


def test_a_recipe_that_separates_generates_on_gpus_of_its_own() -> None:
    separate = settings.generation(compose.load("qwen3_8b/spo_megatron_async", []), 16)
    assert (separate.shares, separate.gpus) == (False, 8)


def test_a_recipe_of_ones_own_with_a_local_model(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("defaults: [qwen3_0_6b/spo_fsdp, _self_]\ndata: {train_batch_size: 64}\n")
    made = RUN.invoke(app, ["plan", str(file), "--memory", "24", "--json"])
    assert json.loads(made.stdout)["work"]["trajectories"] == 64
