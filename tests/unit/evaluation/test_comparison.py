"""Two policies on the same problems."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.evaluations import evaluated
from verl_spo.errors import DataError
from verl_spo.evaluation.comparison import changes, compare
from verl_spo.evaluation.evaluated import MEAN

BEFORE = [[1, 0], [0, 0], [1, 1], [0, 0]]
AFTER = [[1, 1], [1, 0], [1, 0], [0, 0]]


def test_differences_are_by_problem_and_figure() -> None:
    found = {each.figure: each for each in compare([evaluated(AFTER)], [evaluated(BEFORE)])}
    assert set(found) == {"avg@2", "maj@2", "verl_maj@2", "pass@2", "pass^2"}
    assert found["avg@2"].difference.mean == pytest.approx(0.125)
    assert found["avg@2"].difference.low < 0 < found["avg@2"].difference.high
    assert found["avg@2"].p > 0.3
    assert found["pass@2"].difference.mean == pytest.approx(0.25)


def test_a_policy_does_not_differ_from_itself() -> None:
    assert {(each.difference.mean, each.p) for each in compare([evaluated(AFTER)], [evaluated(AFTER)])} == {(0.0, 1.0)}


def test_sets_count_alike() -> None:
    many = [[1, 1]] * 8
    after = [evaluated(AFTER), evaluated(many, "brumo_2025")]
    before = [evaluated(BEFORE), evaluated([[0, 0]] * 8, "brumo_2025")]
    found = {(each.benchmark, each.figure): each.difference.mean for each in compare(after, before)}
    assert found[MEAN, "avg@2"] == pytest.approx((0.125 + 1) / 2)
    assert [each.benchmark for each in compare(after, before)][-1] == MEAN


def test_only_common_benchmarks_are_compared() -> None:
    after = [evaluated(AFTER), evaluated(AFTER, "brumo_2025")]
    assert {each.benchmark for each in compare(after, [evaluated(BEFORE)])} == {"aime_2024"}
    with pytest.raises(DataError, match="no benchmark in common: one has aime_2024, the other brumo_2025"):
        compare([evaluated(AFTER)], [evaluated(BEFORE, "brumo_2025")])


def test_other_ground_truths_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="aime_2024: the two were evaluated on other problems or ground truths"):
        compare([evaluated(AFTER)], [evaluated(BEFORE, problems_digest=b"q" * 16)])


def test_problems_won_and_lost_come_by_how_much() -> None:
    won, lost = changes([evaluated(AFTER)], [evaluated(BEFORE)])
    assert [(each.place, each.before, each.after) for each in won["aime_2024"]] == [(0, 0.5, 1.0), (1, 0.0, 0.5)]
    assert [(each.place, each.question) for each in lost["aime_2024"]] == [(2, "problem 2")]


def test_what_one_of_them_has_no_figure_of_is_not_compared() -> None:
    silent = evaluated(AFTER)
    problems = [replace(problem, votes=np.full(2, -1)) for problem in silent.results.problems]
    mute = replace(silent, results=replace(silent.results, problems=problems))
    assert {each.figure for each in compare([mute], [evaluated(BEFORE)])} == {"avg@2", "pass@2", "pass^2"}
