"""A single-turn agent loop whose sampling is seeded by the request: the same run draws the same answers again.

Select it with `actor_rollout_ref.rollout.agent.default_agent_loop=spo_seeded_single_turn`.
"""

from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

from verl_spo.training.agent_loop_names import SEEDED
from verl_spo.training.seeding import request_seed


@register(SEEDED)
class SeededSingleTurnAgentLoop(SingleTurnAgentLoop):  # type: ignore[misc]
    """verl's single-turn loop with a seed of its own for every request and session."""

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Generate one response."""
        return await super().run({**sampling_params, "seed": request_seed(kwargs)}, **kwargs)
