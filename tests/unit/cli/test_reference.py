"""The documentation's list of commands is that of the code."""

import subprocess
import sys
from pathlib import Path

WRITTEN = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"


def test_the_reference_has_every_command_as_it_is() -> None:
    command = [sys.executable, "-m", "typer", "verl_spo.cli.main", "utils", "docs", "--name", "verl-spo"]
    now = subprocess.run([*command, "--title", "Commands"], text=True, capture_output=True, check=True).stdout
    assert WRITTEN.read_text().strip() == now.strip(), "make reference writes it anew"
