import pytest

from benchmarks.dashboard.week import Sample, growth


def sample(nodes: int) -> Sample:
    return Sample(step=1, looks=1, nodes=nodes, listeners=1, heap_mb=1.0, server_mb=1.0, look_kb=1.0, look_s=1.0)


def test_growth_is_from_the_middle_to_the_end() -> None:
    assert growth([sample(nodes) for nodes in (1, 5, 90, 100, 100, 100, 110, 110, 110)], "nodes") == pytest.approx(0.1)
    assert growth([sample(100)] * 10, "nodes") == 0
