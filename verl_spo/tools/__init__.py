"""Tools for verl's tool agent loop (`actor_rollout_ref.rollout.multi_turn.function_tool_path`)."""

SANDBOX_ADDRESS = "SANDBOX_FUSION_URL"
"""The variable with the address of the user's SandboxFusion server."""
