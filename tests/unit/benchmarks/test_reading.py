import pytest

from benchmarks import reading


@pytest.mark.parametrize(("copies", "prompts"), [(1, 60), (20, 3)])
def test_both_ways_to_read_a_pool_are_timed(copies: int, prompts: int) -> None:
    row = reading.measure_pool(rows=60, copies=copies)
    assert (row["rows"], row["prompts"]) == (60, prompts)
    assert min(row["plain_ms"], row["pool_ms"]) > 0


@pytest.mark.long
def test_a_batch_of_a_real_queue_is_timed() -> None:
    with reading.queue():
        row = reading.measure_batch(trajectories=5, tokens=12, repeats=2)
    assert row["trajectories"] == 5
    assert min(row["plain_ms"], row["outcomes_ms"], row["look_ms"]) > 0
    assert 0 < row["share_at_2s"] < row["share_at_0.2s"] < 1
