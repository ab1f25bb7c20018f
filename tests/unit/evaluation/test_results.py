"""From the samples of an evaluation to the figures of each problem."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.evaluations import scores
from verl_spo.errors import DataError
from verl_spo.evaluation.results import Problem, Results, results_of
from verl_spo.store.records import Finish


def results(rights: list[list[int]], problems: int | None = None, **changes: object) -> Results:
    return results_of("aime_2024", "math_verify", problems or len(rights), scores(rights, **changes))


def test_each_problem_has_its_figures() -> None:
    found = results([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    assert found.samples == 4
    assert found.average().tolist() == [0.75, 0.25, 0.0]
    assert found.pass_at(4).tolist() == [1.0, 1.0, 0.0]
    assert found.all_pass_at(1).tolist() == [0.75, 0.25, 0.0]
    assert found.majority_at(4).tolist() == [1.0, 0.0, 0.0]
    assert found.majority_at(1).tolist() == pytest.approx([0.75, 0.25, 0.0])
    assert found.verl_majority_at(4)[0] > found.verl_majority_at(4)[1] > 0


def test_samples_of_equal_answers_are_a_class_with_their_mean_score() -> None:
    answered = np.array([True, False, True, True])
    problem = Problem(np.array([1.0, 0.0, 1.0, 1.0]), np.array([-1, -1, 0, -1]), ["", "", "7", ""], answered)
    assert problem.classes() == [("", 3, pytest.approx(2 / 3)), ("7", 1, 1.0)]


def test_a_session_that_failed_is_wrong_and_does_not_vote() -> None:
    given = scores([[1, 0, 0], [1, 1, 0]])
    lost = replace(
        given,
        finish=[Finish.STOP, Finish.FAILED, Finish.FAILED, Finish.STOP, Finish.LENGTH, Finish.STOP],
        score=np.array([1.0, np.nan, np.nan, 1.0, 1.0, 0.0]),
        vote=["right", "", "", "right", "right", "wrong"],
    )
    found = results_of("aime_2024", "math_verify", 2, lost)
    assert (found.failed, found.cut_off) == (2, 1)
    assert found.average().tolist() == pytest.approx([1 / 3, 2 / 3])
    assert found.average_of_answered().tolist() == pytest.approx([1.0, 2 / 3])
    assert found.majority_at(3).tolist() == [1.0, 1.0]


def test_where_every_session_failed_there_is_no_other_figure() -> None:
    none = results([[0], [1]], finish=[Finish.FAILED, Finish.STOP], score=np.array([np.nan, 1.0]), vote=["", "right"])
    assert none.average().tolist() == [0.0, 1.0]
    assert np.isnan(none.average_of_answered()[0])
    assert none.verl_majority_at(1).tolist() == [0.0, 1.0]


def test_k_is_what_every_problem_has_samples_for() -> None:
    assert results([[1, 0, 1], [1]]).samples == 1


def test_a_problem_without_a_sample_is_an_error() -> None:
    with pytest.raises(DataError, match=r"aime_2024: 1 of 3 problems have no sample yet; the same `verl-spo evaluate`"):
        results([[1], [0]], problems=3)


def test_samples_that_a_scorer_has_not_judged_are_an_error() -> None:
    with pytest.raises(DataError, match="'math_verify' has not judged 1 of 2 samples"):
        results([[1], [0]], score=np.array([1.0, np.nan]))


def test_where_nobody_says_what_was_answered_there_is_no_vote() -> None:
    silent = results([[1, 1], [1, 0]], vote=[""] * 4)
    assert not silent.votes
    assert results([[1, 1], [1, 0]]).votes
