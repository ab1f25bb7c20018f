from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.samples import columns, samples
from verl_spo.evaluation.majority import majority_at


def enumerated(k, votes, scores):
    """The same by looking at every way to choose k samples."""
    credit = {vote: scores[votes == vote].mean() for vote in set(votes.tolist()) - {-1}}
    results = []
    for chosen in combinations(votes.tolist(), k):
        counts = defaultdict(int)
        for vote in chosen:
            if vote != -1:
                counts[vote] += 1
        winners = [vote for vote, count in counts.items() if count == max(counts.values())]
        results.append(np.mean([credit[vote] for vote in winners]) if winners else 0.0)
    return np.mean(results)


@given(samples)
def test_it_is_the_mean_over_all_ways_to_choose(rows):
    votes, scores = columns(rows)
    for k in range(1, len(rows) + 1):
        assert majority_at(k, votes, scores) == pytest.approx(enumerated(k, votes, scores), abs=1e-12)


@pytest.mark.parametrize(
    ("votes", "scores", "expected"),
    [
        pytest.param([0, 0, 1], [1, 1, 0], 1.0, id="plurality"),
        pytest.param([0, 1], [1, 0], 0.5, id="two tie"),
        pytest.param([0, 1, 2, 2, 1, 0, 3], [1, 0, 0, 0, 0, 1, 0], 1 / 3, id="three tie"),
        pytest.param([-1, -1, -1, 0], [0, 0, 0, 1], 1.0, id="one answer"),
        pytest.param([-1, -1], [0, 0], 0.0, id="no answer"),
        pytest.param([0, 0, 1], [1, 0.5, 0], 0.75, id="partial credit"),
    ],
)
def test_of_all_samples_by_hand(votes, scores, expected):
    assert majority_at(len(votes), votes, scores) == pytest.approx(expected)


def test_of_some_samples_by_hand():
    # Two right, one wrong, one without an answer; of 6 pairs: one right + right, two right + wrong (a tie), two right
    # + none, one wrong + none.
    assert majority_at(2, [0, 0, 1, -1], [1, 1, 0, 0]) == pytest.approx((1 + 2 * 0.5 + 2) / 6)


@given(samples)
def test_of_one_sample_it_is_the_average(rows):
    votes, scores = columns(rows)
    scores[votes == -1] = 0.0
    assert majority_at(1, votes, scores) == pytest.approx(scores.mean())


@given(samples, st.randoms(), st.permutations(range(5)))
def test_neither_the_order_of_samples_nor_the_names_of_classes_matter(rows, random, names):
    renamed = [(names[vote] if vote >= 0 else vote, score) for vote, score in random.sample(rows, len(rows))]
    for k in range(1, len(rows) + 1):
        assert majority_at(k, *columns(rows)) == pytest.approx(majority_at(k, *columns(renamed)), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 31, 128, 255, 256])
def test_many_samples_neither_overflow_nor_vanish(k):
    rng = np.random.default_rng(k)
    votes = rng.integers(-1, 12, 256)
    right, wrong = (majority_at(k, votes, scores) for scores in ((votes == 3) * 1.0, (votes != 3) * 1.0))
    none = majority_at(k, votes, np.zeros(256))
    assert none == 0
    # Some class wins, unless nobody votes.
    assert right + wrong == pytest.approx(1 - (votes == -1).mean() if k == 1 else 1.0, abs=0.01 if k == 2 else 1e-9)


def test_many_samples_agree_with_chance():
    rng = np.random.default_rng(0)
    votes = rng.choice(6, 64, p=[0.25, 0.25, 0.2, 0.1, 0.1, 0.1]) - 1
    scores = (votes == 0) * 1.0
    ways = np.array([rng.permutation(votes)[:16] for _ in range(20_000)])
    counts = np.stack([(ways == vote).sum(axis=1) for vote in range(5)], axis=1)
    winners = counts == counts.max(axis=1, keepdims=True)
    drawn = winners[:, 0] / winners.sum(axis=1)
    assert majority_at(16, votes, scores) == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 20_000**0.5)
