"""Real verl and real vLLM: the recipes that users run, on the lab's prompts and model, looked at as the lab looks."""
