import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from verl.trainer.ppo.metric_utils import process_validation_metrics

from tests.support.samples import columns, samples
from verl_spo.evaluation.majority import majority_at
from verl_spo.evaluation.verl_majority import verl_majority_at

# verl's own takes a second per problem of 32 samples.
pytestmark = pytest.mark.slow


def reported(votes, scores, **options):
    """What verl reports of one problem."""
    infos = {"acc": [float(score) for score in scores], "pred": [str(vote) for vote in votes]}
    return process_validation_metrics(["set"] * len(votes), ["problem"] * len(votes), infos, **options)["set"]["acc"]


def assert_equal(votes, scores):
    theirs = {name: value for name, value in reported(votes, scores).items() if name.startswith("maj")}
    means = {name: value for name, value in theirs.items() if name.endswith("/mean")}
    for name, value in means.items():
        assert verl_majority_at(int(name.split("@")[1].split("/")[0]), votes, scores) == value
    return means


@given(samples)
def test_it_is_verls_own_to_the_last_bit(rows):
    assert_equal(*columns(rows))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_verls_own_for_32_samples(seed):
    rng = np.random.default_rng(seed)
    votes = rng.choice(8, 32, p=rng.dirichlet(np.ones(8))) - 1
    means = assert_equal(votes, np.where(votes == 1, 1.0, 0.0))
    assert sorted(means) == [f"maj@{k}/mean" for k in (16, 2, 32, 4, 8)]


def test_it_differs_from_the_plurality():
    # 5 samples are right, 13 answers came twice, one once: drawn with replacement, one of the others often wins.
    votes = np.array([*np.repeat(range(1, 14), 2), *[0] * 5, 14])
    scores = (votes == 0) * 1.0
    assert majority_at(32, votes, scores) == pytest.approx(1.0)
    assert verl_majority_at(32, votes, scores) == 0.516
    assert_equal(votes, scores)


def test_verl_has_no_majority_where_a_session_failed():
    names = reported([0, 0, 1], [1, 1, 0], expected_acc_counts={("set", "problem"): 4})
    assert names["mean@4"] == 0.5
    assert not any(name.startswith("maj") for name in names)


@given(st.integers(1, 8))
def test_numpys_global_generator_stays_untouched(k):
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    verl_majority_at(k, [0] * 8, [1.0] * 8)
    assert np.random.random() == expected
