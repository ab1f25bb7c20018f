"""How far a policy has moved."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.core.policy_change import mean_change, update_change


def test_what_the_model_did_not_generate_is_left_out():
    now, then = [[1.0, 2.0, 9.0], [0.0, 0.0, 0.0]], [[0.5, 3.0, 0.0], [1.0, np.nan, np.inf]]
    assert mean_change(now, then, [[1, 1, 0], [1, 0, 0]]).tolist() == [0.75, 1.0]
    assert mean_change(now[0], then[0], [1, 1, 0]) == 0.75


def test_without_a_generated_token_it_is_unknown():
    assert math.isnan(mean_change([0.0], [1.0], [0]))


@given(st.integers(2, 64), st.floats(1e-6, 1))
def test_linear_growth_over_mini_batches_gives_the_whole_change(count, change):
    seen = [change * m / count for m in range(count)]
    assert update_change(float(np.mean(seen)), count) == pytest.approx(change)


@pytest.mark.parametrize("updates", [0, 1])
def test_one_update_cannot_show_a_drift(updates):
    assert math.isnan(update_change(0.0, updates))


def seen(rng: np.random.Generator, change: float, noise: float, updates: int, tokens: int = 20_000) -> list[float]:
    """What mini-batches see of a policy that moves by `change` in all: some tokens far more than others."""
    scale = rng.exponential(size=tokens) ** 2 / 2 * math.sqrt(math.pi / 2)
    moved = [rng.normal(size=tokens) * change * m / updates for m in range(updates)]
    return [float(np.abs(scale * (each + noise * rng.normal(size=tokens))).mean()) for each in moved]


@pytest.mark.parametrize("updates", [2, 8])
@pytest.mark.parametrize("change", [0.0035, 0.0116, 0.04])
def test_noise_does_not_pass_for_a_change(change, updates):
    estimates, naive = [], []
    for seed in range(10):
        changes = seen(np.random.default_rng(seed), change, 0.005, updates)
        estimates.append(update_change(float(np.mean(changes)), updates, changes[0]))
        naive.append(update_change(float(np.mean(changes)), updates))
    assert np.mean(estimates) == pytest.approx(change, rel=0.2)
    # Without it, the smallest change would pass for the largest that `drift` tells apart.
    assert np.mean(naive) > change + 0.0015


def test_noise_alone_is_no_change():
    assert update_change(0.005, 2, noise=0.005) == 0.0
    assert update_change(0.0049, 2, noise=0.005) == 0.0
