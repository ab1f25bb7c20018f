"""A recipe becomes the configuration that verl will see."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from verl_spo.errors import ConfigError
from verl_spo.launching import compose, launch, recipes
from verl_spo.training import verl_options

RECIPE = "cpu/arithmetic_spo"
MINE = "# @package _global_\ndefaults:\n  - /cpu/arithmetic_spo\n  - _self_\nspo:\n  epsilon: 0.2\n"


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"recipe 'cpu/nothing': no such recipe; there are cpu/arithmetic_grpo"):
        compose.load("cpu/nothing", [])


@pytest.mark.slow
@pytest.mark.parametrize("value", ["/a b/c", "it's", "x=y,z", "/tmp/[1]{2}(3)", "back\\slash", "$HOME"])
def test_any_text_can_be_an_override(value: str) -> None:
    assert compose.load(RECIPE, [recipes.override("trainer.experiment_name", value)]).trainer.experiment_name == value


def test_a_recipe_may_be_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    config = compose.load(str(mine), [f"demo_dir={tmp_path}"])
    assert verl_options.spo_config(config).epsilon == 0.2


def test_a_recipe_that_builds_on_itself_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "ppo_trainer.yaml"
    mine.write_text("# @package _global_\ndefaults:\n  - /ppo_trainer\n  - _self_\n")
    with pytest.raises(ConfigError, match=r"ppo_trainer.yaml': it builds on itself; .* rename it"):
        compose.load(str(mine), [])


def test_a_recipe_that_hydra_would_not_read_is_refused(tmp_path: Path) -> None:
    # Hydra would read the other file.
    for name in ("mine.yml", "mine.yaml"):
        (tmp_path / name).write_text("defaults:\n  - /cpu/arithmetic_spo\n")
    with pytest.raises(ConfigError, match=r"mine.yml': Hydra reads files named \*.yaml; rename it"):
        compose.load(str(tmp_path / "mine.yml"), [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mine", "ppo_megatron_trainer"])
def test_what_is_checked_is_what_runs(name: str, tmp_path: Path) -> None:
    # Named like one of verl's own files, and beside a file named like a part of verl's and one like a part of ours.
    (tmp_path / f"{name}.yaml").write_text(MINE)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "algorithm").mkdir()
    (tmp_path / "cpu" / "_arithmetic.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /cpu/_platform\n  - _self_\n"
    )
    (tmp_path / "algorithm" / "rollout_correction.yaml").write_text("rollout_is: token\n")
    recipe, overrides = str(tmp_path / f"{name}.yaml"), ["spo.gamma=0.5"]
    checked = compose.load(recipe, overrides)
    command = [sys.executable, "-m", launch.MAIN, *recipes.hydra_arguments(recipe), *overrides, "--cfg", "job"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert OmegaConf.create(printed) == checked
    assert checked.spo.epsilon == 0.2
    assert checked.algorithm.rollout_correction.rollout_is == "token"


def test_an_unknown_option_does_not_compose() -> None:
    with pytest.raises(ConfigError, match="epsilom"):
        compose.load(RECIPE, ["spo.epsilom=0.1"])
