"""What a reader is told to look at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.evaluation.doubts import counts, doubts

THOUGHT = "<think>So.</think>"


@pytest.mark.parametrize(
    ("response", "finish_reason", "scores", "expected"),
    [
        (THOUGHT + r"\boxed{42}", "stop", {"math_verify": 1.0, "reference": 1.0}, set()),
        (THOUGHT + r"\boxed{42.0}", "stop", {"math_verify": 1.0, "reference": 0.0}, {"disagreement"}),
        (THOUGHT + r"\boxed{41}", "length", {"math_verify": 0.0}, {"cut_off"}),
        (THOUGHT + r"It is 42. \boxed{41}", "stop", {"math_verify": 0.0, "reference": 0.0}, {"truth_in_text"}),
        (THOUGHT + "It is 42.", None, {"reference": 0.0}, {"truth_in_text"}),
        (r"\boxed{42}", "stop", {"math_verify": 1.0}, {"thoughts"}),
        ("<think>Then 42, or", "length", {"math_verify": 0.0}, {"cut_off", "truth_in_text", "thoughts"}),
        ("", None, {}, {"thoughts"}),
    ],
)
def test_doubts_are_told(response, finish_reason, scores, expected) -> None:
    assert doubts(response, "42", finish_reason, scores) == expected


@pytest.mark.parametrize("text", ["42", "is 42.", "=42$", r"{42}", "(42, 43)", "**42**", "42" + "." * 290])
def test_the_truth_stands_in_the_text_as_a_whole_token(text: str) -> None:
    assert "truth_in_text" in doubts(text, " 42", None, {"x": 0.0})


@pytest.mark.parametrize("text", ["142", "421", "4.42", "42.5", "1,042", "42,000", "-42", "x42", "", "42" + "." * 300])
def test_it_does_not_as_a_part_of_one(text: str) -> None:
    assert "truth_in_text" not in doubts(text, "42", None, {"x": 0.0})


def test_a_truth_is_no_pattern_and_an_empty_one_stands_nowhere() -> None:
    assert "truth_in_text" in doubts(r"So $\frac{1}{2}$.", r"\frac{1}{2}", None, {"x": 0.0})
    assert "truth_in_text" not in doubts("text", "", None, {"x": 0.0})


@given(st.text(), st.text(), st.none() | st.text(), st.dictionaries(st.text(), st.floats(0, 1)))
def test_any_text_has_its_doubts(response, truth, finish_reason, scores) -> None:
    assert sum(counts([doubts(response, truth, finish_reason, scores)]).values()) <= 4


def test_doubts_are_counted_with_those_that_nobody_has() -> None:
    assert counts([{"cut_off"}, {"cut_off", "thoughts"}, set()]) == {
        "disagreement": 0,
        "cut_off": 2,
        "truth_in_text": 0,
        "thoughts": 1,
    }
