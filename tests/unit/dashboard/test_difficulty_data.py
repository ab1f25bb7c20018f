import numpy as np

from verl_spo.store.queries import SummaryRow
from verl_spo_dashboard.difficulty_data import Read


def row(step: int, **details: object) -> SummaryRow:
    return SummaryRow(step, 1, 0.0, 0.0, 4, 0.5, [step, 1], details)


def test_moves_are_counted_by_window_without_first_visits() -> None:
    moves = [[[0, 3, 9], [1, 2, 2]], [[3, 1, 4]], [], [[2, 3, 1], [2, 1, 5]], [[0, 1, 7]]]
    read = Read(1, latest=[row(step, moves=each) for step, each in enumerate(moves, 1)])
    first, last, made = read.moves(windows=3)
    assert first.tolist() == [1, 3, 5]
    assert last.tolist() == [2, 4, 5]
    assert {tuple(map(int, move)): counts.tolist() for move, counts in made.items()} == {
        (1, 2): [2, 0, 0],
        (2, 3): [0, 1, 0],
        (1, 3): [0, 0, 0],
        (2, 1): [0, 5, 0],
        (3, 2): [0, 0, 0],
        (3, 1): [4, 0, 0],
    }


def test_classes_are_summed_over_sources_and_missing_ones_passed_over() -> None:
    classes = {"math": [1, 2, 3, 4], "code": [4, 3, 2, 1]}
    steps, counts = Read(1, flow=[row(1), row(2, classes=classes)]).classes()
    assert steps.tolist() == [2]
    assert counts.tolist() == [[5, 5, 5, 5]]
    assert Read(1).classes()[1].shape == (0, 4)


def test_nothing_read_is_nothing_known() -> None:
    read = Read(1)
    assert read.now is None
    assert read.by_source == {}
    assert read.pool_meanwhile().size == 0
    assert np.isfinite(read.n_eff).all()
