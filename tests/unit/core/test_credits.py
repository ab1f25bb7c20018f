import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.core.credits import Credits, shares
from verl_spo.errors import CheckpointError

NOBODY = np.zeros(60, dtype=bool)


@given(st.lists(st.floats(0.05, 0.55), min_size=60, max_size=60), st.integers(1, 5), st.integers(0, 2**32))
def test_every_prompt_comes_as_often_as_its_share_says_at_any_time(weights, n, seed):
    credits, share = Credits(60, seed), n * np.array(weights) / sum(weights)
    assert share.max() <= 1
    counts = np.zeros(60)
    for draws in range(1, 60):
        counts[credits.draw(n, np.array(weights), NOBODY)] += 1
        # By chance they would be sqrt(draws) apart.
        assert np.abs(counts - draws * share).max() < 2


def test_equal_weights_are_epochs_of_another_order_each_seed():
    first, second = (Credits(60, seed) for seed in (0, 1))
    epochs = [np.concatenate([first.draw(20, np.ones(60), NOBODY) for _ in range(3)]) for _ in range(4)]
    assert all(sorted(epoch) == list(range(60)) for epoch in epochs)
    assert second.draw(20, np.ones(60), NOBODY).tolist() != epochs[0][:20].tolist()


def test_who_weighs_more_than_a_batch_comes_in_every_draw_and_once():
    credits = Credits(60, 0)
    weights = np.where(np.arange(60) == 7, 1000.0, 1.0)
    for _ in range(20):
        drawn = credits.draw(10, weights, NOBODY).tolist()
        assert len(set(drawn)) == 10
        assert 7 in drawn


def test_who_cannot_be_drawn_is_owed_nothing_for_the_time():
    credits, weights = Credits(60, 0), np.ones(60)
    for _ in range(200):
        assert 3 not in credits.draw(10, np.where(np.arange(60) == 3, 0.0, weights), NOBODY)
    later = [credits.draw(10, weights, NOBODY) for _ in range(12)]
    assert sum(3 in drawn for drawn in later) <= 3


def test_who_is_passed_over_comes_after_all_others_by_turns():
    credits, passed_over = Credits(60, 0), np.arange(60) >= 6
    backs = np.concatenate([credits.draw(8, np.ones(60), passed_over)[6:] for _ in range(27)])
    assert sorted(backs) == list(range(6, 60))


def test_who_was_passed_over_or_weighed_most_is_one_of_all_again():
    credits, draws = Credits(60, 0), [0] * 60
    heavy = np.where(np.arange(60) == 7, 50.0, 1.0)
    for _ in range(200):
        credits.draw(15, heavy, np.arange(60) >= 12)
    for _ in range(40):
        for slot in credits.draw(15, np.ones(60), NOBODY):
            draws[slot] += 1
    assert min(draws) >= 8
    assert max(draws) <= 12


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40), st.data())
def test_shares_add_up_to_all_draws_and_nobody_has_more_than_one(weights, data):
    count = data.draw(st.integers(1, len(weights)))
    found = shares(np.array(weights), count)
    assert found.sum() == pytest.approx(count)
    assert (found >= 0).all()
    assert (found <= 1 + 1e-9).all()
    order = np.argsort(weights)
    assert (np.diff(found[order]) >= -1e-9).all()


def test_a_state_continues_bit_for_bit_and_one_of_another_pool_is_refused():
    weights = np.random.default_rng(0).random(60) + 0.1
    credits, restored = Credits(60, 3), Credits(60, 4)
    credits.draw(25, weights, NOBODY)
    restored.load_state_dict(credits.state_dict())
    for _ in range(9):
        assert credits.draw(13, weights, NOBODY).tolist() == restored.draw(13, weights, NOBODY).tolist()
    with pytest.raises(CheckpointError, match=r"shape \(60,\), this run has \(59,\)"):
        Credits(59, 0).load_state_dict(credits.state_dict())
