from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scorio.eval import pass_at_k, pass_hat_k

from verl_spo.evaluation.measures import all_pass_at, average, pass_at

outcomes = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=8)


def test_by_hand():
    # Of 5 samples 2 pass: C(3, 2) = 3 of C(5, 2) = 10 pairs have none that does, 1 has both.
    scores = [1.0, 0.0, 1.0, 0.0, 0.0]
    assert average(scores) == 0.4
    assert pass_at(2, scores) == 0.7
    assert all_pass_at(2, scores) == 0.1


def test_partial_credit_does_not_pass():
    scores = [0.9, 0.9, 1.0]
    assert average(scores) == pytest.approx(2.8 / 3)
    assert pass_at(1, scores) == all_pass_at(1, scores) == pytest.approx(1 / 3)


@given(outcomes)
def test_they_are_shares_of_all_ways_to_choose(scores):
    for k in range(1, len(scores) + 1):
        chosen = [[score == 1 for score in some] for some in combinations(scores, k)]
        assert pass_at(k, scores) == pytest.approx(np.mean([any(some) for some in chosen]))
        assert all_pass_at(k, scores) == pytest.approx(np.mean([all(some) for some in chosen]))


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=300))
def test_more_samples_pass_more_often_and_fail_more_often(scores):
    passes, all_pass = ([measure(k, scores) for k in range(1, len(scores) + 1)] for measure in (pass_at, all_pass_at))
    assert passes == sorted(passes)
    assert all_pass == sorted(all_pass, reverse=True)
    assert passes[0] == all_pass[0] == np.mean(np.array(scores) == 1)


@given(outcomes, st.randoms())
def test_order_does_not_matter(scores, random):
    shuffled = random.sample(scores, len(scores))
    for k in range(1, len(scores) + 1):
        assert pass_at(k, scores) == pass_at(k, shuffled)
        assert all_pass_at(k, scores) == all_pass_at(k, shuffled)


@given(st.lists(st.booleans(), min_size=1, max_size=256), st.data())
def test_scorio_agrees(passed, data):
    k = data.draw(st.integers(1, len(passed)))
    row = np.array([passed], dtype=int)
    assert pass_at(k, passed) == pytest.approx(pass_at_k(row, k), rel=1e-9, abs=1e-12)
    assert all_pass_at(k, passed) == pytest.approx(pass_hat_k(row, k), rel=1e-9, abs=1e-12)
