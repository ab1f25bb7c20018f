"""What every command pays for."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.stores import trained
from verl_spo.cli.main import COMMANDS, app
from verl_spo.errors import PluginError
from verl_spo.training import plugin_check

pytestmark = pytest.mark.slow

HEAVY = {
    "alembic",
    "torch",
    "verl",
    "ray",
    "vllm",
    "transformers",
    "streamlit",
    "hydra",
    "omegaconf",
    "transfer_queue",
    "wrapt",
}


def loaded_by(code: str) -> set[str]:
    """The packages that are there after this code."""
    code = f"import sys; {code}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(printed.splitlines()[-1].split())


def test_no_command_imports_what_only_a_run_needs() -> None:
    loaded = loaded_by("from verl_spo.cli.main import COMMANDS; [each.load(name) for name, each in COMMANDS.items()]")
    assert "sqlalchemy" in loaded
    assert not HEAVY & loaded


def test_the_list_of_commands_waits_for_none_of_them() -> None:
    loaded = loaded_by("from verl_spo.cli.main import app; app(['--help'], standalone_mode=False)")
    assert "typer" in loaded
    assert not {"sqlalchemy", "verl_spo_dashboard", *HEAVY} & loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    described = COMMANDS[name].load(name).help
    assert COMMANDS[name].says == " ".join(described.partition("\n\n")[0].split())


@pytest.mark.parametrize("typed", ["trian", "run"])
def test_a_command_that_is_mistyped_is_guessed(typed: str) -> None:
    result = CliRunner().invoke(app, [typed])
    assert result.exit_code == 2
    assert "Did you mean" in result.output


def test_commands_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"_VERL_SPO_COMPLETE": "complete_bash", "COMP_WORDS": "verl-spo ev", "COMP_CWORD": "1"}
    result = CliRunner().invoke(app, [], prog_name="verl-spo", env=variables)
    assert result.output.split() == ["evaluate", "evaluations"]


def test_a_recipe_is_composed_without_importing_verl() -> None:
    """So that a run is registered within seconds, not after half a minute."""
    code = "from verl_spo.launching import launch, compose; compose.load('cpu/arithmetic_spo', [])"
    assert not {"torch", "verl", "ray", "vllm", "transformers"} & loaded_by(code)


def run_without(modules: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in an environment where these modules are not installed."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r})); sys.argv[0] = 'verl-spo'; "
        "from verl_spo.cli.main import app; app()"
    )
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("train", "cpu/arithmetic_spo"), "verl"),
        (("init-values", "cpu/arithmetic_spo"), "verl"),
        (("data", "tiny-model"), "verl"),
        (("data", "aime24"), "verl"),
        (("data", "reasoning-gym", "--task", "gcd"), "reasoning-gym"),
        (("dashboard",), "dashboard"),
        (("dashboard", "--auth", "auth.toml"), "dashboard-auth"),
        (("demo",), "verl,dashboard,cpu"),
    ],
)
def test_a_command_whose_extra_is_missing_says_which_one_to_install(command: tuple[str, ...], extra: str) -> None:
    missing = {"verl", "transfer_queue", "hydra", "omegaconf", "streamlit", "authlib", "vllm", "reasoning_gym"}
    done = run_without(missing, *command)
    assert done.returncode == 2
    assert f"pip install 'verl-spo[{extra}]'" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_reading_needs_no_extra(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/store.db"
    trained(database, steps=2)
    missing = {"verl", "transfer_queue", "wrapt", "hydra", "omegaconf", "streamlit", "psycopg", "torch"}
    for command in (("runs", "list", "--db", database), ("prompts", "hardest", "demo/spo", "--db", database)):
        done = run_without(missing, *command)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert "cpu/arithmetic_spo" in run_without(missing, "recipes").stdout.split()


@pytest.mark.parametrize(
    ("version", "tested"), [("0.9.1", True), ("0.9.7", True), ("0.8.0", False), ("0.10.0.dev1", False)]
)
def test_a_version_of_verl_that_is_not_tested_is_said_aloud(
    version: str, tested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_check.importlib.metadata, "version", lambda name: version)
    if tested:
        plugin_check.check_version()
        return
    with pytest.raises(PluginError, match=f"verl {version} is installed, and verl-spo is tested with verl"):
        plugin_check.check_version()
