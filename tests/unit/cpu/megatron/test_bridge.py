"""The import of Megatron-Bridge without Transformer Engine, on a package that asks for the same of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ASKS = """
import transformer_engine.pytorch as te
class Adapter(te.Linear):
    def branches(self) -> tuple[te.ops.Sequential, te.ops.Sequential]: ...
te.GroupedLinear.__init__
"""
FINDS_NONE_LATER = """
import importlib.util
from verl_spo.cpu.megatron import bridge
bridge.install()
bridge.install()
import megatron.bridge
assert megatron.bridge.Adapter
assert importlib.util.find_spec("transformer_engine") is None
"""


def test_it_finds_a_stand_in_only_while_it_is_imported(tmp_path: Path) -> None:
    # `megatron` is a namespace, whose other part is megatron-core.
    package = tmp_path / "megatron" / "bridge"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(ASKS)
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-c", FINDS_NONE_LATER],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
