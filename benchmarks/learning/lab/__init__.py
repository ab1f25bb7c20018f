"""A plain torch loop around `verl_spo.core`: the same prompts and the same tiny model as the demo, no verl and no vLLM.

For statistics: a run takes seconds, so that every method can be compared over many seeds.
"""
