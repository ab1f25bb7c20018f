"""What a command needs is looked for before anything is imported."""

import pytest
from typer.testing import CliRunner

from verl_spo.cli.main import app
from verl_spo.cpu import builds

MIXED = {"torch": "2.13.0+cpu", "torchvision": "0.28.0"}


@pytest.mark.parametrize(
    "command",
    [["doctor"], ["doctor", "cpu/arithmetic_spo"], ["plan", "cpu/arithmetic_spo"], ["train", "cpu/arithmetic_spo"]],
)
def test_builds_that_do_not_go_together_are_named_before_they_are_imported(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builds, "installed", lambda name: MIXED.get(name, ""))
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    assert "pip uninstall torchvision" in f"{result.output}{result.exception}"
