"""Verifiable rewards behind one interface, as verl's custom reward functions call them.

Select one with `reward.custom_reward_function.path=pkg://verl_spo.rewards` and `name=math_dapo`, `math_verify`,
`reasoning_gym` or `reference`. Reward workers import this package: it must stay light.
"""

from verl_spo.rewards.functions import math_dapo, math_verify, reasoning_gym, reference
from verl_spo.rewards.scorers import SCORERS

__all__ = ["SCORERS", "math_dapo", "math_verify", "reasoning_gym", "reference"]
