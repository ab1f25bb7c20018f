"""Orders of a pool in memory, against Python's own sorting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.store.queries.pool import SORTS, Mask, Pool, Sort, Stand

# Few values, so that many are equal.
SOME = st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0])


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """A pool of a few prompts, ids with gaps."""
    size = draw(st.integers(1, 30))

    def floats(least: float = 0.0) -> np.ndarray:
        return least + np.array(draw(st.lists(SOME, min_size=size, max_size=size)))

    def integers() -> np.ndarray:
        return np.array(draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)), dtype=np.int64)

    ids = np.cumsum(1 + integers())
    stand = Stand((1, "owner", "running"), 5, draw(SOME))
    # One of the two may be 0, as after a file of values of 0 and 1.
    return Pool(stand, ids, floats(), floats(0.25), floats() - 3, integers(), integers())


def masks(pool: Pool) -> st.SearchStrategy[Mask]:
    size = len(pool.prompt_id)
    return st.lists(st.booleans(), min_size=size, max_size=size).map(lambda passes: np.array(passes, dtype=bool))


def in_order(pool: Pool, sort: Sort, descending: bool, passing: Mask) -> list[int]:
    """Places of what passes, by the column and the id."""
    values = pool.column(sort)
    return sorted(np.flatnonzero(passing).tolist(), key=lambda place: (values[place], place), reverse=descending)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", SORTS)
@given(data=st.data())
def test_pages_are_parts_of_the_whole_order(sort: Sort, descending: bool, data: st.DataObject) -> None:
    pool = data.draw(pools())
    passing = data.draw(masks(pool))
    start, limit = data.draw(st.integers(0, 35)), data.draw(st.integers(1, 35))
    wanted = in_order(pool, sort, descending, passing)[start : start + limit]
    assert pool.ordered(sort, descending, passing, start, limit).tolist() == wanted


@given(data=st.data())
def test_neighbours_stand_beside_each_other_in_the_order(data: st.DataObject) -> None:
    pool = data.draw(pools())
    passing = data.draw(masks(pool))
    sort: Sort = data.draw(st.sampled_from(SORTS))
    place = data.draw(st.integers(0, len(pool.prompt_id) - 1))
    with_it = passing.copy()
    with_it[place] = True
    order = [None, *in_order(pool, sort, False, with_it), None]
    here = order.index(place)
    assert pool.beside(place, sort, passing) == (order[here - 1], order[here + 1])


def test_certain_values_come_last_however_little_evidence_there_is() -> None:
    stand = Stand((1, "owner", "running"), 5, 2000.0)
    nothing, none = np.zeros(3), np.zeros(3, dtype=np.int64)
    pool = Pool(stand, np.arange(3), np.array([0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0]), nothing, none, none)
    everything = np.ones(3, dtype=bool)
    assert pool.ordered("uncertainty", True, everything, 0, 3).tolist() == [1, 2, 0]
    assert np.isfinite(pool.column("uncertainty")).all()


def test_nearly_certain_values_are_told_apart() -> None:
    stand, nothing, none = Stand((1, "owner", "running"), 5, 0.0), np.zeros(4), np.zeros(4, dtype=np.int64)
    tiny = np.array([1e-18, 1e-17, 8.0, 8.0])
    pool = Pool(stand, np.arange(4), tiny[::-1].copy(), tiny, nothing, none, none)
    assert pool.ordered("uncertainty", False, np.ones(4, dtype=bool), 0, 4).tolist() == [0, 3, 1, 2]


def test_rows_are_those_of_the_table() -> None:
    stand = Stand((1, "owner", "running"), 5, 0.0)
    columns = [np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([0.5, 0.0]), np.array([7, 0]), np.array([5, 0])]
    pool = Pool(stand, np.array([11, 13]), *columns)
    assert list(pool.states(np.array([1, 0]))) == [(13, 2.0, 4.0, 0.0, 0, 0), (11, 1.0, 3.0, 0.5, 7, 5)]
