"""Names of single-turn agent loops, for those who need not import them."""

VERLS = "single_turn_agent"
"""verl's own (verl/experimental/agent_loop/single_turn_agent_loop.py)."""
SEEDED = "spo_seeded_single_turn"
"""The same, with sampling seeded by the request (agent_loop.py)."""
SINGLE_TURN = (VERLS, SEEDED)
