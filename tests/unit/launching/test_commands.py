"""What a launch tells people to type does what the launch does."""

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support import configured
from verl_spo.launching import commands, compose, launch

pytestmark = pytest.mark.slow


def built(*overrides: str) -> launch.Launch:
    return launch.build(configured.RECIPE, overrides, compose.load(configured.RECIPE, overrides))


def test_the_plain_command_is_what_the_launch_runs(tmp_path: Path) -> None:
    """A shell reads it; the interpreter is a stand-in that notes its arguments and environment."""
    started = built("demo_dir='/data/it\\'s $HOME'", "spo.store.url=env:STORE")
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\nprintf "%s\\0" "$@" > "$0.arguments"\nenv -0 > "$0.environment"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    script = commands.verl_command(started).replace(started.command[0], str(python))
    bare = {"PATH": os.environ["PATH"]}
    refused = subprocess.run(["sh", "-c", script], env=bare, capture_output=True, text=True, check=False)
    assert "STORE: must hold the URL of the database" in refused.stderr
    assert not (tmp_path / "python.arguments").exists()

    subprocess.run(["sh", "-c", script], env={**bare, "STORE": "postgresql://db/spo"}, check=True)
    arguments = (tmp_path / "python.arguments").read_text().split("\0")[:-1]
    assert arguments == started.command[1:]
    environment = (tmp_path / "python.environment").read_text().split("\0")
    assert {f"{name}={value}" for name, value in started.environment.items() if "NOTES" not in name} <= set(environment)


def test_the_first_lines_say_who_where_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE", "postgresql://me:s3cret@db/spo")
    assert list(commands.first_lines(built("spo.store.url=env:STORE", "demo_dir='/a b'"))) == [
        "run:       arithmetic/spo",
        "dashboard: verl-spo dashboard --db env:STORE",
        "resume:    "
        + shlex.join(["verl-spo", "train", "cpu/arithmetic_spo", "spo.store.url=env:STORE", "demo_dir='/a b'"]),
    ]


def test_a_recipe_without_spo_has_no_dashboard() -> None:
    recipe = "cpu/arithmetic_grpo"
    lines = list(commands.first_lines(launch.build(recipe, [], compose.load(recipe, []))))
    assert lines == ["run:       arithmetic/grpo", f"resume:    verl-spo train {recipe}"]
