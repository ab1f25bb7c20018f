"""How advantages reach verl's tensors."""

import numpy as np
import pytest
import torch

from verl_spo.errors import PluginError
from verl_spo.training.estimator import computing, spo_advantage

MASK = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1]])
REWARDS = torch.zeros(4, 3, dtype=torch.float32)


def test_only_generated_tokens_of_known_trajectories_get_their_advantage() -> None:
    """Rows: an answer, a second output of the same session, padding, and an answer after a tool's output."""
    index = np.array(["a", "a", "pad01", "b"], dtype=object)
    seen = []

    def compute(rewards: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
        seen.append((rewards, mask))
        return {"a": 1.5, "b": -0.5}

    with computing(compute):
        advantages, returns = spo_advantage(REWARDS, MASK, index, config=None)
    assert seen == [(REWARDS, MASK)]
    assert advantages.tolist() == [[1.5, 1.5, 0], [1.5, 0, 0], [0, 0, 0], [0, -0.5, -0.5]]
    assert returns is advantages
    assert advantages.dtype == torch.float32


def test_another_trainer_is_told_which_one_to_use() -> None:
    with pytest.raises(PluginError, match=r"set trainer\.v1\.trainer_mode=spo_sync"):
        spo_advantage(REWARDS, MASK, np.array(["a"] * 4))


def test_nothing_stays_after_the_step() -> None:
    with pytest.raises(ValueError, match="in the step"), computing(lambda *_: {"a": 1.0}):
        raise ValueError("in the step")
    with pytest.raises(PluginError):
        spo_advantage(REWARDS, MASK, np.array(["a"] * 4))
