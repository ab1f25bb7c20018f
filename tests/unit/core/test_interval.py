import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from verl_spo.core.interval import wilson_interval


@given(st.integers(1, 500), st.integers(0, 500), st.sampled_from([0.5, 0.9, 0.99]))
def test_it_is_wilsons_interval(trials, successes, mass):
    successes = min(successes, trials)
    low, high = wilson_interval([successes / trials], [trials], mass)
    expected = binomtest(successes, trials).proportion_ci(mass, method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.floats(0, 1), st.floats(0, 1e6))
def test_it_holds_the_estimate_and_stays_within_bounds(value, n_eff):
    low, high = wilson_interval([value], [n_eff])
    assert 0 <= low[0] <= value + 1e-12
    assert value - 1e-12 <= high[0] <= 1


def test_no_evidence_excludes_nothing():
    low, high = wilson_interval([0.3], [0.0])
    assert (low[0], high[0]) == pytest.approx((0.0, 1.0))
