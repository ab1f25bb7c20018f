"""Real verl and real vLLM on the CPU, on a problem small enough for a test."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import agreement, small
from tests.support.killing import kill_with_all_it_started, started_by, wait_until_nothing_is_left
from tests.support.waiting import LONGEST_S
from verl_spo.demo.arithmetic import make_prompt_set, write_prompt_set
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tiny_model import make_tiny_model
from verl_spo.launching.processes import remove_left, segments


@pytest.fixture(scope="session")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prompt set and a model that gets some answers right, also in the hands of two tensor-parallel ranks."""
    folder = tmp_path_factory.mktemp("assets")
    prompts = make_prompt_set(train=64, validation=16)
    write_prompt_set(prompts, folder / "data")
    make_tiny_model(prompts, Recipe(steps=400, vocabulary_multiple=8)).save(folder / "model")
    (folder / "model-parallel").symlink_to("model")
    return folder


@pytest.fixture
def run_dir(assets: Path, tmp_path: Path) -> Path:
    """A demo folder of the test's own."""
    link(assets, tmp_path)
    return tmp_path


@pytest.fixture
def start(run_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `verl-spo train`, or its like, on the small problem; output goes to a file beside the database.

    What still runs when the test ends is killed; what runs that are killed leave in shared memory goes with the test.
    """
    before, begun = segments(), list[subprocess.Popen[str]]()

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        begun.append(begin(run_dir, *arguments, **options))
        return begun[-1]

    yield start
    for process in begun:
        if process.poll() is None:
            kill_with_all_it_started(process)
    remove_left(segments() - before)


@pytest.fixture
def train(start: Callable[..., subprocess.Popen[str]], run_dir: Path) -> Callable[..., int]:
    """Train to the end; nothing of the run may stay behind."""
    return partial(to_the_end, start, run_dir)


@pytest.fixture(scope="session")
def whole_run(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run `arithmetic/whole`, to which others are compared; it has a checkpoint of every other step."""
    folder = tmp_path_factory.mktemp("whole")
    link(assets, folder)
    to_the_end(
        partial(begin, folder), folder, "whole", *agreement.OPTIONS, f"trainer.total_training_steps={small.LAST}"
    )
    return folder


@pytest.fixture
def beside_whole(whole_run: Path, run_dir: Path) -> Path:
    """A demo folder of the test's own, in which the run `arithmetic/whole` is over."""
    shutil.copytree(whole_run / "checkpoints", run_dir / "checkpoints")
    shutil.copy(whole_run / "verl_spo.db", run_dir)
    return run_dir


@pytest.fixture(scope="session")
def validated(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run `arithmetic/validated`: initial rollouts, two validated steps on two ranks, a checkpoint."""
    folder = tmp_path_factory.mktemp("validated")
    link(assets, folder)
    options = ("total_training_steps=2", "save_freq=2", "test_freq=1", "val_before_train=True")
    to_the_end(
        partial(begin, folder),
        folder,
        "validated",
        *(f"trainer.{option}" for option in options),
        *small.TWO_RANKS,
        "actor_rollout_ref.rollout.val_kwargs.n=2",
        "spo.init=rollouts",
        "spo.init_rollouts=2",
        "spo.retention=drift",
        "spo.baseline=optimal",
    )
    return folder


def link(assets: Path, folder: Path) -> None:
    """Put the prompts and the models into a demo folder."""
    for name in ("data", "model", "model-parallel"):
        (folder / name).symlink_to(assets / name)


def begin(
    run_dir: Path, name: str, *overrides: str, command: str = "train", recipe: str = small.RECIPE, **environment: str
) -> subprocess.Popen[str]:
    """Start a run."""
    arguments = [sys.executable, "-m", "verl_spo", command, recipe, f"++demo_dir={run_dir}"]
    arguments += [f"trainer.experiment_name={name}", *small.OVERRIDES, *overrides]
    with (run_dir / f"{name}.log").open("a") as log:
        return subprocess.Popen(arguments, env={**os.environ, **environment}, stdout=log, stderr=log, text=True)


def to_the_end(
    start: Callable[..., subprocess.Popen[str]],
    run_dir: Path,
    name: str,
    *overrides: str,
    expect: int | None = 0,
    **environment: str,
) -> int:
    """Start a run, and wait for it; nothing of it may stay behind."""
    before, process = segments(), start(name, *overrides, **environment)
    try:
        status = process.wait(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{LONGEST_S} s were not enough:\n{(run_dir / f'{name}.log').read_text()[-4000:]}")
    if expect is not None:
        assert status == expect, (run_dir / f"{name}.log").read_text()[-4000:]
    wait_until_nothing_is_left(before)
    assert not started_by(process)
    return status
