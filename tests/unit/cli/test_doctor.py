"""The command: its table, its JSON, its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support import configured
from verl_spo.cli.main import app


@pytest.fixture
def demo_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    configured.make_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return f"demo_dir={tmp_path}"


@pytest.mark.slow
def test_it_exits_with_1_where_something_fails(demo_dir: str) -> None:
    wrong = "actor_rollout_ref.actor.ppo_mini_batch_size=256"
    result = CliRunner().invoke(app, ["doctor", "cpu/arithmetic_spo", demo_dir, wrong])
    assert result.exit_code == 1
    assert "fails" in result.output
    assert "ppo_mini_batch_size=256" in result.output


@pytest.mark.slow
def test_it_exits_with_0_where_nothing_fails(demo_dir: str) -> None:
    result = CliRunner().invoke(
        app, ["doctor", "cpu/arithmetic_grpo", demo_dir, "actor_rollout_ref.rollout.name=sglang"]
    )
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_json_is_all_that_is_on_stdout(demo_dir: str) -> None:
    command = [sys.executable, "-m", "verl_spo", "doctor", "cpu/arithmetic_spo", demo_dir, "--json"]
    # Other tests' doctors leave vLLM's variables behind.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = {each["subject"]: each for each in json.loads(ran.stdout)}
    assert found["composition"] == {"subject": "composition", "status": "ok", "detail": ""}
    assert {each["status"] for each in found.values()} <= {"ok", "fails", "not checked"}


def test_an_override_without_a_recipe_is_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "spo.epsilon=1"])
    assert result.exit_code == 1
    assert "recipe 'spo.epsilon=1': no such recipe" in result.output
