"""What is known before training."""

import numpy as np
import pytest

from verl_spo.core.estimates import Estimates


def test_estimates_are_smoothed_by_jeffreys() -> None:
    estimates = Estimates.none(3)
    estimates.replace(np.array([0, 2]), np.array([0, 0, 2, 2]), np.array([1.0, 1.0, 0.0, 1.0]))
    assert estimates.values(prior=0.3) == pytest.approx([2.5 / 3, 0.3, 1.5 / 3])


def test_responses_again_replace_those_before() -> None:
    estimates = Estimates.none(2)
    estimates.replace(np.array([0]), np.array([0, 0]), np.array([1.0, 1.0]))
    estimates.replace(np.array([0]), np.array([0]), np.array([0.0]))
    assert (estimates.responses.tolist(), estimates.reward_sum.tolist()) == ([1, 0], [0.0, 0.0])
