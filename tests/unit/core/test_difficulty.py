from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.core.difficulty import MOST_SOURCES, OTHERS, Difficulty, DifficultyCounts, difficulty
from verl_spo.core.tracker import ValueTracker

POOL = 10
values = st.floats(0, 1) | st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])
pools = st.lists(values, min_size=POOL, max_size=POOL)
visited = st.lists(st.integers(0, 2), min_size=POOL, max_size=POOL)
sources = st.lists(st.integers(0, 2), min_size=POOL, max_size=POOL)
histories = st.lists(st.dictionaries(st.integers(0, POOL - 1), values, max_size=POOL), max_size=8)

NAMES = ["logic", "math", "code"]


@pytest.mark.parametrize(
    ("value", "visits", "expected"),
    [
        (0.9, 0, Difficulty.UNVISITED),
        (0.0, 1, Difficulty.RARELY),
        (0.19, 1, Difficulty.RARELY),
        (0.2, 1, Difficulty.SOMETIMES),
        (0.8, 3, Difficulty.SOMETIMES),
        (0.81, 3, Difficulty.MOSTLY),
        (1.0, 3, Difficulty.MOSTLY),
    ],
)
def test_classes_and_their_edges(value: float, visits: int, expected: Difficulty) -> None:
    assert difficulty([value], [visits]).tolist() == [expected]


@given(pools, visited, sources, histories)
def test_kept_up_to_date_it_equals_one_made_anew(start, visits, sources, history):
    value, seen = np.array(start), np.array(visits)
    counts = DifficultyCounts(value, seen, sources, NAMES)
    for step in history:
        slots = np.fromiter(step, dtype=np.int64, count=len(step))
        value[slots] = list(step.values())
        seen[slots] += 1
        before = sum(map(np.array, counts.by_source.values()))
        moves = counts.update(slots, value[slots], seen[slots])
        after = sum(map(np.array, counts.by_source.values()))
        gained = np.zeros(len(Difficulty), dtype=int)
        for old, new, number in moves:
            assert old != new
            assert number > 0
            gained[new] += number
            gained[old] -= number
        np.testing.assert_array_equal(after - before, gained)
    assert counts.by_source == DifficultyCounts(value, seen, sources, NAMES).by_source


@given(pools, visited, sources)
def test_each_prompt_counts_once_under_its_source(start, visits, sources):
    counts = DifficultyCounts(start, visits, sources, NAMES).by_source
    sizes = Counter(NAMES[source] for source in sources)
    assert {name: sum(row) for name, row in counts.items()} == {name: sizes[name] for name in NAMES}


def test_moves_follow_a_tracker() -> None:
    tracker = ValueTracker.from_value(4)
    counts = DifficultyCounts(tracker.value(), tracker.visits, [0, 0, 1, 1], ["math", "code"])
    slots = np.array([0, 1, 2])
    for step in (1, 2):
        tracker.observe(slots, [1.0, 0.0, 1.0], 0.9, step)
    moves = counts.update(slots, tracker.value(slots), tracker.visits[slots])
    assert moves == [(Difficulty.UNVISITED, Difficulty.RARELY, 1), (Difficulty.UNVISITED, Difficulty.MOSTLY, 2)]
    assert counts.by_source == {"math": [0, 1, 0, 1], "code": [1, 0, 0, 1]}
    tracker.observe([0], [0.0], 0.9, 3)
    assert counts.update([0], tracker.value([0]), tracker.visits[[0]]) == [(Difficulty.MOSTLY, Difficulty.SOMETIMES, 1)]


def test_the_smallest_of_many_sources_are_put_together() -> None:
    names = [f"source {number}" for number in range(MOST_SOURCES + 3)]
    sizes = np.arange(1, len(names) + 1)
    sources = np.repeat(np.arange(len(names)), sizes)
    flat = np.zeros(sources.size, dtype=int)
    counts = DifficultyCounts(flat, flat, sources, names).by_source
    assert len(counts) == MOST_SOURCES
    assert counts[OTHERS] == [1 + 2 + 3 + 4, 0, 0, 0]
    assert counts[names[-1]] == [len(names), 0, 0, 0]
    assert next(iter(counts)) == names[-1]


def test_a_large_source_may_be_called_others_too() -> None:
    names = [OTHERS, *(f"source {number}" for number in range(MOST_SOURCES))]
    sources = [0, *range(len(names))]
    flat = np.zeros(len(sources), dtype=int)
    counts = DifficultyCounts(flat, flat, sources, names).by_source
    assert sum(row[0] for row in counts.values()) == len(sources)
    assert counts[OTHERS] == [2 + 2, 0, 0, 0]


def test_no_source_is_left_out_at_the_bound() -> None:
    flat = np.zeros(MOST_SOURCES, dtype=int)
    counts = DifficultyCounts(flat, flat, np.arange(MOST_SOURCES), [str(number) for number in range(MOST_SOURCES)])
    assert OTHERS not in counts.by_source


def test_an_empty_pool() -> None:
    counts = DifficultyCounts([], [], [], [])
    assert counts.by_source == {}
    assert counts.update([], [], []) == []
