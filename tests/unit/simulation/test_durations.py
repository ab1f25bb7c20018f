import numpy as np
import pytest
from scipy import stats

from tests.support.stores import info, trained
from verl_spo.errors import DataError
from verl_spo.simulation.durations import FEWEST, Bimodal, Constant, Empirical, Lognormal, Pareto, of_run
from verl_spo.store import open_reader


def drawn(durations, number=20_000):
    rng = np.random.default_rng(0)
    return np.array([durations.draw(rng) for _ in range(number)])


@pytest.mark.parametrize(
    ("durations", "distribution"),
    [
        (Lognormal(60, 0.8), stats.lognorm(0.8, scale=60 * np.exp(-0.32))),
        (Pareto(60, 2.5), stats.pareto(2.5, scale=60 * 1.5 / 2.5)),
    ],
)
def test_draws_follow_the_distribution_that_has_this_mean(durations, distribution):
    assert distribution.mean() == pytest.approx(60)
    assert stats.kstest(drawn(durations), distribution.cdf).pvalue > 0.01


def test_a_share_of_the_bimodal_is_slow():
    seconds, counts = np.unique(drawn(Bimodal(60, 0.1, 10)), return_counts=True)
    assert seconds[1] == pytest.approx(10 * seconds[0])
    assert counts[1] / counts.sum() == pytest.approx(0.1, abs=0.01)
    assert 0.9 * seconds[0] + 0.1 * seconds[1] == pytest.approx(60)


def test_the_constant_and_a_lognormal_without_spread_are_the_mean():
    assert set(drawn(Constant(60), 5)) == {60}
    assert drawn(Lognormal(60, 0), 5) == pytest.approx([60] * 5)


def test_a_runs_sessions_are_drawn_alike():
    seconds = np.array([1.0, 5.0, 9.0])
    found, counts = np.unique(drawn(Empirical("demo", seconds), 3000), return_counts=True)
    assert found.tolist() == seconds.tolist()
    assert stats.chisquare(counts).pvalue > 0.01


def test_sessions_of_a_run_count_where_their_time_is_known(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=10)
    with open_reader(url) as reader:
        found = of_run(reader, "demo/spo")
    # The support's runs do not know the time of every third slot; the others' are an eighth of a second each.
    assert FEWEST <= found.seconds.size < 80
    assert set(found.seconds) <= {slot / 8 for slot in range(40) if slot % 3}
    assert str(found).startswith(f"{found.seconds.size} sessions of demo/spo, mean ")


def test_too_few_sessions_say_so(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=2, run=info("short"))
    with open_reader(url) as reader, pytest.raises(DataError, match=r"--run short: has \d+ sessions .* --durations"):
        of_run(reader, "short")


@pytest.mark.parametrize(
    ("durations", "name"),
    [
        (Constant(60), "constant, 60 s"),
        (Lognormal(60, 0.8), "lognormal, mean 60 s, sigma 0.8"),
        (Pareto(60, 2.5), "Pareto, mean 60 s, alpha 2.5"),
        (Bimodal(60, 0.1, 10), "bimodal, mean 60 s, 10% take 10 times as long"),
    ],
)
def test_they_have_names(durations, name):
    assert str(durations) == name
