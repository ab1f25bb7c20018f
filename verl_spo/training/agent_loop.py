"""A single-turn agent loop whose sampling is seeded by the request: the same run draws the same answers again.

Select it with `actor_rollout_ref.rollout.agent.default_agent_loop=spo_seeded_single_turn`. SPO's request identities
are reproducible (session.py), so a run that is resumed continues as one that never stopped would have. verl's own
`full_determinism` gives every request the same seed, and so every visit to a prompt the same noise.
"""

from hashlib import blake2b
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, register
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

NAME = "spo_seeded_single_turn"


@register(NAME)
class SeededSingleTurnAgentLoop(SingleTurnAgentLoop):  # type: ignore[misc]
    """verl's single-turn loop with a seed of its own for every request and session."""

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """Generate one response; `uid` and `session_id` among the arguments determine it, beside policy and prompt."""
        seed = request_seed(kwargs["uid"], kwargs["session_id"])
        return await super().run({**sampling_params, "seed": seed}, **kwargs)


def request_seed(uid: str, session: int) -> int:
    """A seed for vLLM's sampler, in [0, 2 ** 31)."""
    return int.from_bytes(blake2b(f"{uid}/{session}".encode(), digest_size=4).digest()) >> 1
