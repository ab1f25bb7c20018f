"""Every recipe that ships composes, and those that say so are the same run but for one thing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_spo.launching import compose, recipes
from verl_spo.training import verl_options

pytestmark = pytest.mark.slow


def different(one: DictConfig, other: DictConfig) -> dict[str, tuple[Any, Any]]:
    """Options that differ."""

    def flat(config: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(config, dict):
            return {prefix: config}
        return {key: value for name, each in config.items() for key, value in flat(each, f"{prefix}.{name}").items()}

    first, second = (flat(OmegaConf.to_container(config, resolve=True)) for config in (one, other))
    return {
        name.removeprefix("."): (first.get(name), second.get(name))
        for name in {*first, *second}
        if first.get(name) != second.get(name)
    }


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_composes_and_has_a_run_of_its_own(name: str) -> None:
    config = compose.load(name, [])
    verl_options.plain(config)
    assert config.trainer.experiment_name not in {None, "gsm8k"}


def test_runs_of_a_project_have_different_names() -> None:
    names = [verl_options.run_name(compose.load(name, [])) for name in recipes.names()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("engine", ["megatron", "fsdp"])
def test_grpo_gets_as_many_trajectories_as_spo(engine: str) -> None:
    spo, grpo = (compose.load(f"qwen3_8b/{method}_{engine}", []) for method in ("spo", "grpo"))
    for config in (spo, grpo):
        responses = config.actor_rollout_ref.rollout.n
        assert config.data.train_batch_size * responses == 1024
        assert config.actor_rollout_ref.actor.ppo_mini_batch_size * responses == 128
    changed = {name.split(".")[0] for name in different(spo, grpo)}
    assert changed <= {"actor_rollout_ref", "algorithm", "critic", "data", "reward", "spo", "trainer"}
    assert not any("megatron" in name or "optim" in name for name in different(spo, grpo))


def test_the_tiny_scale_changes_model_sizes_and_the_platform() -> None:
    """What `cpu/arithmetic_spo_megatron_tp2` proves holds for the recipe on eight GPUs."""
    changed = different(compose.load("qwen3_8b/spo_megatron", []), compose.load("cpu/arithmetic_spo_megatron_tp2", []))
    kept = ("algorithm.", "actor_rollout_ref.actor.policy_loss", "actor_rollout_ref.actor.clip", "critic.enable")
    assert not [name for name in changed if name.startswith(kept)]
    assert "actor_rollout_ref.actor.megatron.sequence_parallel" not in changed
    assert "actor_rollout_ref.actor.megatron.override_transformer_config.recompute_granularity" not in changed


SCRIPTS = sorted(recipes.folder().glob("*/run_*.sh"))


def test_every_recipe_for_gpus_with_a_real_model_has_a_script() -> None:
    scripts = {f"{script.parent.name}/{script.stem.removeprefix('run_')}" for script in SCRIPTS}
    assert scripts == {name for name in recipes.names() if name.startswith("qwen3")}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: f"{script.parent.name}/{script.stem}")
def test_a_script_trains_its_recipe_unless_a_knob_says_otherwise(script: Path, tmp_path: Path) -> None:
    stand_in = tmp_path / "verl-spo"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > arguments\n')
    stand_in.chmod(0o755)

    def arguments(*given: str, **knobs: str) -> list[str]:
        variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **knobs}
        subprocess.run([script, *given], check=True, cwd=tmp_path, env=variables, capture_output=True)
        return (tmp_path / "arguments").read_text().splitlines()

    command, recipe, *overrides = arguments()
    assert (command, recipe) == ("train", f"{script.parent.name}/{script.stem.removeprefix('run_')}")
    # Each number stands in the recipe as well.
    assert different(compose.load(recipe, []), compose.load(recipe, overrides)) == {}
    changed = compose.load(recipe, arguments("trainer.save_freq=7", MODEL_PATH="/a model", NNODES="2")[2:])
    assert changed.actor_rollout_ref.model.path == "/a model"
    assert (changed.trainer.nnodes, changed.trainer.save_freq) == (2, 7)
    assert shellcheck(script) == ""


def shellcheck(script: Path) -> str:
    program = Path(sys.executable).parent / "shellcheck"
    return subprocess.run([program, script], capture_output=True, text=True, check=False).stdout
