"""Real verl and vLLM, with sessions whose tool waits."""
