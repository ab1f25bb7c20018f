"""What verl sees of the package, and that it changes nothing where it is not wanted."""

import json
import os
import subprocess
import sys

import pytest

from verl_spo.errors import PluginError
from verl_spo.training import plugin_check

REGISTERED = """
import json, verl
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.experimental.agent_loop.agent_loop import _agent_loop_registry
print(json.dumps({
    "estimator": core_algos.get_adv_estimator_fn("spo").__module__,
    "loss": core_algos.get_policy_loss_fn("spo").__module__,
    "trainers": [get_trainer_cls(f"spo_{mode}").__name__ for mode in ("sync", "colocate_async", "separate_async")],
    "agent_loop": "spo_seeded_single_turn" in _agent_loop_registry,
}))
"""
TRACES = """
import importlib.metadata, json, os, sys, torch.distributed, verl
from verl.plugin.platform import PlatformRegistry
print(json.dumps({
    "platform": PlatformRegistry.get("cpu") is not None,
    "version": importlib.metadata.version.__module__,
    "process_group": torch.distributed.init_process_group.__module__,
    "environment": "VERL_ENGINE_DEVICE" in os.environ,
    "trainer_imported": "verl.trainer.ppo.v1.trainer_base" in sys.modules,
}))
"""


def run(code: str, **environment: str) -> dict:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("VERL_", "VLLM_"))}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env={**clean, **environment}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_stock_verl_finds_every_part() -> None:
    assert run(REGISTERED, VERL_PLATFORM="cpu") == {
        "estimator": "verl_spo.training.estimator",
        "loss": "verl_spo.training.policy_loss",
        "trainers": ["SPOTrainerSync", "SPOTrainerColocateAsync", "SPOTrainerSeparateAsync"],
        "agent_loop": True,
    }


@pytest.mark.slow
def test_without_the_cpu_nothing_is_patched() -> None:
    assert run(TRACES) == {
        "platform": False,
        "version": "importlib.metadata",
        "process_group": "torch.distributed.distributed_c10d",
        "environment": False,
        "trainer_imported": False,
    }


@pytest.mark.slow
def test_with_the_cpu_the_platform_is_there() -> None:
    traces = run(TRACES, VERL_PLATFORM="cpu")
    assert traces["platform"]
    assert traces["environment"]
    assert traces["version"] == "verl_spo.cpu.patches"
    assert not traces["trainer_imported"]


def test_a_plug_in_that_is_switched_off_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", "others")
    with pytest.raises(PluginError, match="VERL_USE_EXTERNAL_PLUGINS='others' keeps verl from loading 'spo'"):
        plugin_check.check()


def test_a_plug_in_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        name = "spo"

        def load(self) -> None:
            raise ImportError("No module named 'wrapt'")

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Broken()])
    with pytest.raises(PluginError, match="verl cannot load the plug-in: ImportError: No module named 'wrapt'"):
        plugin_check.check()


def test_a_plug_in_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    with pytest.raises(PluginError, match=r"pip install 'verl-spo\[verl\]'"):
        plugin_check.check()
