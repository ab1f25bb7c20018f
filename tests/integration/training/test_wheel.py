"""The wheel works in an environment and a folder of its own: nothing of it is found in the checkout."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.support import own, packages, small
from tests.support.waiting import LONGEST_S
from verl_spo.store import open_reader, queries

pytestmark = pytest.mark.verl

STEPS = 3
# The Llama has 128 positions.
SHORT = (
    "data.max_prompt_length=32",
    "data.max_response_length=16",
    "actor_rollout_ref.rollout.max_model_len=64",
    "actor_rollout_ref.actor.optim.lr=1e-4",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel; the packages that it requires are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = packages.environment_with_ours(folder / "environment")
    wheel = packages.build_wheel(packages.PROJECT, folder)
    subprocess.run([environment / "bin" / "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    return environment / "bin"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Callable[..., str]:
    """Run a program of the environment in a folder of its own, and return what it prints."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run_program(program: str, *arguments: str) -> str:
        command = [installed / program, *arguments]
        done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, timeout=LONGEST_S)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout

    return run_program


def test_only_our_names_are_installed(installed: Path, run: Callable[..., str]) -> None:
    folder = packages.packages_of(installed.parent)
    ours = {path.name for path in folder.iterdir()} - {"required.pth", "__pycache__", "_distutils_hack"}
    ours = {name for name in ours if not name.startswith(("pip", "setuptools", "pkg_resources", "distutils"))}
    assert {name for name in ours if not name.endswith(".dist-info")} == {"verl_spo", "verl_spo_dashboard"}
    assert str(folder) in run("python", "-c", "import verl_spo; print(verl_spo.__file__)")
    assert small.RECIPE in run("verl-spo", "recipes").split()


def test_stock_verl_finds_a_recipe_by_its_name(run: Callable[..., str]) -> None:
    printed = run("python", "-m", "verl.trainer.main_ppo", "--config-name", small.RECIPE, "--cfg", "job")
    config = OmegaConf.create(printed)
    assert config.spo.retention == "kl"
    assert config.trainer.v1.trainer_mode == "spo_sync"


def test_scripts_and_manifests_are_made_of_what_ships(run: Callable[..., str]) -> None:
    assert run("verl-spo", "train", small.RECIPE, "--slurm", "--print").startswith("#!/usr/bin/env bash\n")


def test_the_dashboard_answers(installed: Path, tmp_path: Path) -> None:
    with packages.dashboard(installed, tmp_path) as page:
        assert b"<html" in page


def test_the_wheel_trains_a_llama_on_a_data_set_without_a_table(run: Callable[..., str], tmp_path: Path) -> None:
    """A user's own model, data set class and reward."""
    own.save_llama(tmp_path / "llama")
    run(
        "verl-spo",
        "train",
        "cpu/own_spo",
        "trainer.project_name=mine",
        "trainer.experiment_name=own",
        f"trainer.default_local_dir={tmp_path}/checkpoints",
        f"spo.store.url=sqlite:///{tmp_path}/verl_spo.db",
        f"model_dir={tmp_path}/llama",
        *small.OVERRIDES,
        *SHORT,
        f"data.custom_cls.path={own.__file__}",
        "data.custom_cls.name=Letters",
        f"reward.custom_reward_function.path={own.__file__}",
        f"trainer.total_training_steps={STEPS}",
        "trainer.save_freq=-1",
    )
    with open_reader(f"sqlite:///{tmp_path}/verl_spo.db") as reader:
        trained = queries.run(reader, "mine/own").run
        names = ["training/rollout_probs_diff_max", "actor/grad_norm", "spo/reward"]
        series = {each.name: each for each in queries.metric_series(reader, [trained.id], names).series}
        prompts = queries.prompts(reader, trained.id, limit=1000).rows
    assert trained.last_step == STEPS
    # After an update of its own, vLLM's Llama still holds the actor's weights.
    assert series["training/rollout_probs_diff_max"].values.max() < 1e-4
    assert series["actor/grad_norm"].values.min() > 0
    assert 0 < series["spo/reward"].values.mean() < 1
    assert len(prompts) == own.ROWS
    assert {prompt.data_source for prompt in prompts} == {"letters"}
