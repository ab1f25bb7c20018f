import numpy as np
import pytest
from scipy import stats

from verl_spo.simulation.durations import Constant, Lognormal
from verl_spo.simulation.sessions import Sessions


def attempts(sessions, number=5000):
    rng = np.random.default_rng(0)
    return [sessions.attempt(rng) for _ in range(number)]


def test_without_failures_and_limit_a_session_takes_what_was_drawn():
    assert all(
        each.seconds == each.whole and not each.fails and not each.cut for each in attempts(Sessions(Constant(9)))
    )


def test_failures_come_at_any_moment_of_a_life():
    found = attempts(Sessions(Constant(60), failures=0.3))
    failed = [each.seconds for each in found if each.fails]
    assert len(failed) / len(found) == pytest.approx(0.3, abs=0.03)
    assert stats.kstest(failed, stats.uniform(0, 60).cdf).pvalue > 0.01
    assert {each.whole for each in found} == {60}


def test_the_limit_cuts_off():
    found = attempts(Sessions(Lognormal(60, 0.8), limit=80))
    assert max(each.seconds for each in found) == 80
    cut = stats.lognorm(0.8, scale=60 * np.exp(-0.32)).sf(80)
    assert np.mean([each.cut for each in found]) == pytest.approx(cut, abs=0.03)
    assert all(each.cut == (each.seconds == 80) for each in found)


def test_what_would_fail_after_the_limit_is_cut_off_instead():
    found = attempts(Sessions(Constant(60), failures=0.5, limit=30))
    assert np.mean([each.fails for each in found]) == pytest.approx(0.25, abs=0.03)
    assert all(each.cut != each.fails for each in found)
