"""The shell blocks of README and docs do what they say: each line is run, or parsed as far as a test can go."""

import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from typer import Context
from typer.main import get_command
from typer.testing import CliRunner

from tests.support.stores import evaluation, samples, trained
from verl_spo.cli.main import app
from verl_spo.config import StoreConfig
from verl_spo.datasets.sources import SOURCES
from verl_spo.launching import compose, search_path
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.records import Origin

PROJECT = Path(__file__).parents[2]
PLACEHOLDERS = {"RUN": "demo/spo", "NEW": "demo/renamed", "WORDS": "plus", "FOLDER": "demo-spo"}
# What serves for ever or takes minutes has end-to-end tests; here its arguments are parsed.
LONG = ("dashboard", "demo", "doctor", "evaluate")
RECIPES = ("train", "init-values")
# From the hub, or with a package that not every environment has; a model takes half a minute.
PROBLEM_SETS = (*SOURCES, "reasoning-gym")


def documented() -> Iterator[str]:
    """The lines of every shell block, without comments."""
    for document in (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))):
        for block in re.findall(r"^```bash\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if command := " ".join(shlex.split(line, comments=True)):
                    yield command


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a small run."""
    path = tmp_path_factory.mktemp("documented") / "verl_spo.db"
    trained(f"sqlite:///{path}", steps=8, texts=True)
    with Evaluating(StoreConfig(url=f"sqlite:///{path}"), "demo/spo", 1) as store:
        for step in (100, 200):
            asked = evaluation(step, origin=Origin.EVALUATION)
            store.add(store.begin(asked), samples(asked))
    return path


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user who has that database, also as the demo's, and a recipe."""
    (tmp_path / "demo").mkdir()
    for place in (tmp_path, tmp_path / "demo"):
        shutil.copy(template, place / "verl_spo.db")
    (tmp_path / "my_recipe.yaml").write_text("defaults: [cpu/arithmetic_spo, _self_]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", list(documented()))
def test_a_documented_command_works(command: str, folder: Path) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in command.split(" ") if word != "..."]
    match words:
        case ["make", *_] | ["bash", ".ci/run"]:
            subprocess.run(
                ["make", "-n", *words[1:]] if words[0] == "make" else ["bash", "-n", words[1]], cwd=PROJECT, check=True
            )
        case ["pip", "install", package]:
            (extra,) = re.findall(r"verl-spo\[(\w+)\]", package)
            assert extra in (importlib.metadata.metadata("verl-spo").get_all("Provides-Extra") or [])
        case ["python", "-m", "verl.trainer.main_ppo", *overrides]:
            search_path.register()
            with hydra.initialize_config_dir(str(search_path.verl_configs()), version_base=None):
                hydra.compose("ppo_trainer", overrides)
        case ["python", "-m", module, *arguments]:
            subprocess.run([sys.executable, "-m", module, *arguments, "--help"], cwd=PROJECT, check=True)
        case ["verl-spo", name, *arguments] if name in RECIPES:
            context = parsed(name, arguments)
            assert not any(word.startswith("-") for word in context.args)
            compose.load(context.params["name"], context.args)
        case ["verl-spo", name, *arguments] if name in LONG:
            parsed(name, arguments)
        case ["verl-spo", "data", name, *arguments] if name in (*PROBLEM_SETS, "tiny-model"):
            get_command(app).commands["data"].commands[name].make_context(name, arguments)
        case ["verl-spo", *arguments]:
            result = CliRunner().invoke(app, arguments, input="y\n")
            assert result.exit_code == 0, result.output
        case _:
            pytest.fail(f"no way to try {command!r}")


def parsed(name: str, arguments: list[str]) -> Context:
    """What a command makes of its arguments."""
    return get_command(app).make_context("verl-spo", [name]).command.commands[name].make_context(name, arguments)


def test_the_documents_have_commands() -> None:
    assert sum(command.startswith("verl-spo") for command in documented()) > 10
