"""Tools are found, and a sandbox's address, before the start."""

import pytest
from omegaconf import OmegaConf

from verl_spo.errors import ConfigError
from verl_spo.launching import compose
from verl_spo.tools import sandbox_fusion
from verl_spo.training.preflight import tools

OPTION = "actor_rollout_ref.rollout.multi_turn.function_tool_path"


def test_a_sandbox_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose.load("qwen3_8b/spo_tools_megatron", [])
    assert OmegaConf.select(config, OPTION) == sandbox_fusion.__file__
    monkeypatch.delenv(sandbox_fusion.SANDBOX_ADDRESS, raising=False)
    with pytest.raises(ConfigError, match="set the variable SANDBOX_FUSION_URL"):
        tools.check(config)
    monkeypatch.setenv(sandbox_fusion.SANDBOX_ADDRESS, "http://sandbox:8080/run_code")
    tools.check(config)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"function_tool_path=/no/tools\.py: no such file"):
        tools.check(
            OmegaConf.create({"actor_rollout_ref": {"rollout": {"multi_turn": {"function_tool_path": "/no/tools.py"}}}})
        )


def test_without_tools_nothing_is_needed() -> None:
    tools.check(compose.load("cpu/arithmetic_spo", []))
