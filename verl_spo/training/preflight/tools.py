"""What tools of an agent loop need before the start."""

import os
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.tools import SANDBOX_ADDRESS

_SANDBOX = "verl_spo.tools.sandbox_fusion"


def check(config: DictConfig) -> None:
    """Find the file of the tools, and the address of the sandbox if they run code there.

    Raises:
        ConfigError: There is no such file, or no address.
    """
    option = "actor_rollout_ref.rollout.multi_turn.function_tool_path"
    file = config.actor_rollout_ref.rollout.multi_turn.function_tool_path
    if file is None:
        return
    if not Path(file).is_file():
        raise ConfigError(f"{option}={file}: no such file")
    sandbox = find_spec(_SANDBOX)
    if sandbox and sandbox.origin == str(file) and not os.environ.get(SANDBOX_ADDRESS):
        raise ConfigError(
            f"{option}={file}: code runs in a SandboxFusion server; set the variable {SANDBOX_ADDRESS} to its address, "
            "such as http://sandbox:8080/run_code"
        )
