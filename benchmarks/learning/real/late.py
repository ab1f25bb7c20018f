"""An agent loop whose wrong answers take longer, as those of long tasks often do."""

import asyncio
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from verl_spo.demo.rewards import compute_score
from verl_spo.training.agent_loop import SeededSingleTurnAgentLoop

NAME = "wrong_late"
DELAY_S = 1.0


class WrongLateAgentLoop(SeededSingleTurnAgentLoop):
    """The demo's agent loop; a wrong answer is handed over `DELAY_S` later than it was generated."""

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Generate one response, and wait if it is wrong."""
        output = await super().run(sampling_params, **kwargs)
        text = self.tokenizer.decode(output.response_ids, skip_special_tokens=True)
        if not compute_score("", text, kwargs["reward_model"]["ground_truth"])["score"]:
            await asyncio.sleep(DELAY_S)
        return output
