"""What the benchmark of judging measures."""

from benchmarks.scoring import measure, written


def test_the_same_samples_are_written_each_time() -> None:
    samples = list(written(4, 32))
    assert samples == list(written(4, 32))
    assert {(each.problem, each.number) for each in samples} == {(p, n) for p in range(4) for n in range(32)}
    lengths = sorted(len(each.response) for each in samples)
    assert 2_000 <= lengths[0] <= lengths[64] <= 2_300
    assert 20_000 <= lengths[-1] <= 20_300


def test_every_sample_is_judged() -> None:
    measured = measure(list(written(2, 8)), "reference", 1)
    assert (measured["samples"], measured["failed"]) == (16, 0)
    assert 2 <= measured["classes"] <= measured["answers"] <= 16
