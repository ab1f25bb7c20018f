"""An agent loop whose tool takes a time that varies, as those of real agents do."""

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from verl_spo.training.agent_loop import SeededSingleTurnAgentLoop
from verl_spo.training.seeding import request_seed

NAME = "waiting_tool"


class WaitingAgentLoop(SeededSingleTurnAgentLoop):
    """The demo's agent loop; then a tool works on the answer for a lognormal time.

    Args:
        mean_s: Mean of the time, in seconds.
        sigma: Standard deviation of its logarithm.
        begun: A file that gets a byte for every session that begins.
    """

    def __init__(self, *args: Any, mean_s: float, sigma: float, begun: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._mu, self._sigma = math.log(mean_s) - sigma**2 / 2, sigma
        self._begun = Path(begun)

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Generate one response, and wait for the tool."""
        with self._begun.open("ab") as file:
            file.write(b".")
        output = await super().run(sampling_params, **kwargs)
        seconds = float(np.random.default_rng(request_seed(kwargs)).lognormal(self._mu, self._sigma))
        await asyncio.sleep(seconds)
        output.metrics.tool_calls = seconds
        return output
