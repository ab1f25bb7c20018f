"""Where the value tracker starts: `spo.init`."""

from verl_spo.config import SPOConfig
from verl_spo.core.tracker import ValueTracker
from verl_spo.training.pool import PromptPool


def initial_tracker(config: SPOConfig, pool: PromptPool) -> ValueTracker:
    """The tracker before the first step; prompts of which nothing is known start at the prior."""
    return ValueTracker.from_value(len(pool), config.prior, config.prior_n_eff)
