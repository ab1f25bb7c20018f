"""Whose verdicts count if the reader names no scorer."""

import pytest

from tests.support.evaluations import evaluated
from verl_spo.evaluation.judges import default_scorer, judges
from verl_spo.store.evaluations import REWARD

ROW = evaluated([[1, 0], [1, 1]]).row


def test_who_has_judged_a_part_is_no_judge() -> None:
    assert judges(ROW, {"math_verify": 3, "reference": 4, REWARD: 4}) == ["reference", REWARD]


@pytest.mark.parametrize(
    ("judged_by", "expected"),
    [
        ([["math_verify", REWARD]], "math_verify"),
        ([["math_verify", REWARD], ["math_verify"]], "math_verify"),
        ([["math_verify", REWARD], ["reference", REWARD]], REWARD),
        ([["reference"]], REWARD),
    ],
)
def test_math_verify_is_the_default_where_it_has_judged_all(judged_by: list[list[str]], expected: str) -> None:
    assert default_scorer(judged_by) == expected
