"""Python for models that call tools. Code runs in a SandboxFusion server of the user's, and nowhere else.

A recipe names this file by `${module_file:verl_spo.tools.sandbox_fusion}`; the variable `SANDBOX_FUSION_URL` says where
the server is, such as `http://sandbox:8080/run_code`.
"""

import os
from collections.abc import Mapping
from typing import Any

from verl.tools.function_tool import function_tool
from verl.utils.reward_score.sandbox_fusion.utils import call_sandbox_api

from verl_spo.tools import SANDBOX_ADDRESS

COMPILE_S, RUN_S, MEMORY_MB = 10, 30, 1024


@function_tool  # type: ignore[untyped-decorator]
def code_interpreter(code: str) -> str:
    """Run a Python program and return what it prints.

    Args:
        code: The program. Only what it prints is returned.
    """
    answer, failure = call_sandbox_api(os.environ[SANDBOX_ADDRESS], code, None, COMPILE_S, RUN_S, MEMORY_MB)
    return shown(answer) if answer is not None else f"The sandbox did not answer: {failure}"


def shown(answer: Mapping[str, Any]) -> str:
    """What the model gets to see of SandboxFusion's answer: output, then errors."""
    ran = answer.get("run_result") or answer.get("compile_result") or {}
    printed = "".join(filter(None, (ran.get("stdout"), ran.get("stderr"))))
    if ran.get("status") == "TimeLimitExceeded":
        printed += f"\nstopped after {RUN_S} s"
    return printed.strip() or "(nothing was printed)"
