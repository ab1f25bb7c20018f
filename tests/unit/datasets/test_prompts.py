import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.published import AFTER, BEFORE
from verl_spo.datasets.prompts import AROUND, Problem, without_instruction


@given(st.text(), st.sampled_from(sorted(AROUND)))
def test_an_instruction_comes_off_as_it_was_put_on(question, style) -> None:
    assert without_instruction(Problem("x", question, "1").prompt(style), style) == question


def test_dapos_instruction_is_the_published_one() -> None:
    assert Problem("math_dapo", "What?", "1").prompt("answer") == f"{BEFORE}What?{AFTER}"


@pytest.mark.parametrize("prompt", ["What?", BEFORE, AFTER, f"{BEFORE}What?", f"What?{AFTER}", BEFORE[:-1] + AFTER])
def test_a_prompt_of_another_style_is_told(prompt) -> None:
    assert without_instruction(prompt, "answer") is None


@pytest.mark.slow
@pytest.mark.parametrize("style", ["boxed", "answer"])
def test_the_scorers_find_an_answer_in_the_form_that_the_prompt_asks_for(style) -> None:
    from verl_spo.rewards import math_dapo, math_verify

    response = {"boxed": "So it is $\\boxed{42}$.", "answer": "So it is.\n\nAnswer: 42"}[style]
    for score in (math_dapo, math_verify):
        assert score("aime_2024", response, "42")["score"] == 1.0
