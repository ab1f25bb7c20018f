import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.demo.problems import Problem, careless_answer, draw_problems

operands = st.integers(min_value=0, max_value=10**9)
problems = st.builds(Problem, operands, operands)


@given(problems)
def test_somebody_who_forgets_nothing_is_right(problem):
    assert careless_answer(problem, 0.0, np.random.default_rng(0)) == problem.answer


@given(problems)
def test_somebody_who_forgets_every_carry_is_right_just_where_there_is_none(problem):
    forgetful = careless_answer(problem, 1.0, np.random.default_rng(0))
    assert (forgetful == problem.answer) == (problem.carries == 0)


@given(problems)
def test_answers_are_canonical(problem):
    for slip in (0.0, 0.5, 1.0):
        answer = careless_answer(problem, slip, np.random.default_rng(0))
        assert answer == str(int(answer))


@given(operands, operands)
def test_the_digits_that_carrying_takes_away(left, right):
    # Each carry replaces ten units of a column by one of the next: Legendre's formula in another guise.
    taken = sum(map(int, f"{left}{right}")) - sum(map(int, str(left + right)))
    assert Problem(left, right).carries * 9 == taken


@pytest.mark.parametrize(
    ("problem", "answer", "careless", "carries", "digits"),
    [
        (Problem(0, 0), "0", "0", 0, 1),
        (Problem(995, 7), "1002", "992", 3, 3),
        (Problem(0, 1234), "1234", "1234", 0, 4),
        (Problem(99, 1), "100", "90", 2, 2),
    ],
)
def test_worked_examples(problem, answer, careless, carries, digits):
    assert problem.answer == answer
    assert careless_answer(problem, 1.0, np.random.default_rng(0)) == careless
    assert (problem.carries, problem.digits) == (carries, digits)


def test_carries_are_forgotten_one_by_one():
    rng = np.random.default_rng(1)
    problem = Problem(55, 55)
    right = np.mean([careless_answer(problem, 0.5, rng) == problem.answer for _ in range(4000)])
    assert right == pytest.approx(0.25, abs=0.03)


def test_draws_spread_over_lengths_and_carries():
    drawn = draw_problems(np.random.default_rng(0), 4000)
    assert len(drawn) == 4000
    assert {problem.digits for problem in drawn} == {1, 2, 3, 4}
    assert {0, 1, 2, 3} <= {problem.carries for problem in drawn}
    assert all(len(str(operand)) <= 4 for problem in drawn for operand in (problem.left, problem.right))


def test_draws_depend_on_the_generator_alone():
    assert draw_problems(np.random.default_rng(3), 50) == draw_problems(np.random.default_rng(3), 50)
    assert draw_problems(np.random.default_rng(3), 50) != draw_problems(np.random.default_rng(4), 50)


def test_no_problems():
    assert draw_problems(np.random.default_rng(0), 0) == []
