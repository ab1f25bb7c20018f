import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.core.histogram import ValueHistogram
from verl_spo.core.tracker import ValueTracker

edges = st.sampled_from([k / 20 for k in range(21)])
histories = st.lists(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1) | edges), max_size=15), max_size=15)


@given(st.lists(st.floats(0, 1) | edges, min_size=10, max_size=10), histories)
def test_kept_up_to_date_it_equals_one_made_anew(start, history):
    values = np.array(start)
    histogram = ValueHistogram(values)
    for batch in history:
        slots = [slot for slot, _ in batch]
        for slot, value in batch:
            values[slot] = value
        histogram.update(slots, values[slots])
    anew = ValueHistogram(values)
    assert histogram.counts.tolist() == anew.counts.tolist()
    assert histogram.mean == anew.mean == pytest.approx(values.mean(), abs=1e-9)


def test_it_agrees_with_numpy_away_from_the_edges():
    values = np.random.default_rng(0).random(10_000)
    expected, _ = np.histogram(values, bins=20, range=(0, 1))
    assert ValueHistogram(values).counts.tolist() == expected.tolist()


def test_a_bin_contains_its_lower_edge_and_the_last_also_one():
    assert ValueHistogram([0.0, 0.25, 0.5, 1.0], bins=4).counts.tolist() == [1, 1, 1, 1]


def test_it_follows_a_tracker():
    tracker = ValueTracker.from_value(50)
    histogram, rng = ValueHistogram(tracker.value()), np.random.default_rng(1)
    for step in range(50):
        slots = rng.integers(50, size=20)
        tracker.observe(slots, rng.random(20) < 0.5, 0.9, step)
        histogram.update(slots, tracker.value(slots))
    assert histogram.counts.tolist() == ValueHistogram(tracker.value()).counts.tolist()
    assert histogram.counts.sum() == 50


def test_empty_batches_and_pools():
    histogram = ValueHistogram([])
    histogram.update([], [])
    assert histogram.counts.tolist() == [0] * 20
    assert np.isnan(histogram.mean)
