"""Answers, and scorers that misbehave."""

import pytest

from verl_spo.rewards.scorers import Scorer
from verl_spo.rewards.verdicts import Answer


@pytest.fixture
def misbehaving() -> Scorer:
    """Does in a process of its own what the response says."""
    return Scorer("misbehaving", "tests.support.misbehaving", (), "none", low=-1.0, high=1.0, isolated=True)


@pytest.fixture
def answer():
    return lambda response, truth="42", **extra: Answer("competition", response, truth, extra)
