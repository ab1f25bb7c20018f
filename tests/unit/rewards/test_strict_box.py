"""The reference recipe's rules, held against verl's own function as the recipe calls it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hostile import HOSTILE
from verl_spo import rewards
from verl_spo.rewards import reference
from verl_spo.rewards.strict_box import judge
from verl_spo.rewards.verdicts import Answer, Verdict

THOUGHT = "<think>So it is.</think>"

PIECES = st.sampled_from(
    [
        "</think>",
        "<think>",
        r"\boxed{",
        r"\boxed{42}",
        r"\boxed{ 42}",
        r"\{",
        "{",
        "}",
        "42",
        " ",
        "\n",
        "a" * 90,
        "\\",
        "é",
    ]
)


def by_the_recipe(response: str, truth: str) -> Verdict:
    """recipe/spo/spo_retool.py, compute_score."""
    from verl.utils.reward_score import math_dapo

    if response.count("</think>") != 1:
        return Verdict(0.0, "")
    result = math_dapo.compute_score(response, truth, strict_box_verify=True)
    return Verdict(max(result["score"], 0.0), result["pred"] or "")


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (THOUGHT + r"\boxed{42}", Verdict(1.0, "42")),
        (r"The template opened it.</think>\boxed{42}", Verdict(1.0, "42")),
        (THOUGHT + r"\boxed{41} or \boxed{42}", Verdict(1.0, "42")),
        (THOUGHT + r"\boxed{42} or \boxed{41}", Verdict(0.0, "41")),
        (THOUGHT + r"\boxed{42} or \boxed{41", Verdict(0.0, "")),
        (THOUGHT + r"\boxed{42.0}", Verdict(0.0, "42.0")),
        (THOUGHT + r"\boxed{ 42}", Verdict(0.0, " 42")),
        (THOUGHT + r"\boxed{\frac{1}{2}}", Verdict(0.0, r"\frac{1}{2}")),
        (THOUGHT + r"\boxed{}", Verdict(0.0, "")),
        (THOUGHT + "42", Verdict(0.0, "")),
        (THOUGHT + r"\boxed{42}" + "." * 90, Verdict(1.0, "42")),
        (THOUGHT + r"\boxed{42}" + "." * 91, Verdict(0.0, "")),
        (r"\boxed{42}", Verdict(0.0, "")),
        (r"<think>\boxed{42}", Verdict(0.0, "")),
        (THOUGHT * 2 + r"\boxed{42}", Verdict(0.0, "")),
    ],
)
def test_it_compares_the_last_box_of_a_response_with_one_thought(response: str, expected: Verdict) -> None:
    assert judge(Answer("x", response, "42", {})) == expected
    assert by_the_recipe(response, "42") == expected


@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["42", "", r"\{", "{42}"]))
def test_it_judges_as_the_recipe_does(response: str, truth: str) -> None:
    assert judge(Answer("x", response, truth, {})) == by_the_recipe(response, truth)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_responses_earn_nothing(name: str) -> None:
    result = reference("x", THOUGHT + HOSTILE[name], "42")
    assert (result["score"], result["failed"]) == (0.0, 0.0)


def test_the_module_does_not_take_the_place_of_the_function_that_verl_calls() -> None:
    assert callable(rewards.reference)
