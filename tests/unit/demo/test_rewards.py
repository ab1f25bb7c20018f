import subprocess
import sys
from inspect import signature

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.demo.rewards import compute_score

integers = st.integers(-(10**12), 10**12)
RIGHT, WRONG = 1.0, 0.0


def score(response: str, truth: object) -> float:
    """The reward, which is the accuracy too."""
    said = compute_score("arithmetic", response, truth)
    assert said["score"] == said["acc"]
    assert len(said["pred"]) <= 200
    return said["score"]


@given(integers, st.text(" \t\r\n"), st.text(" \t\r\n"))
def test_the_answer_alone_is_right(answer, before, after):
    assert score(f"{before}{answer}{after}", str(answer)) == RIGHT


def test_it_says_what_the_answer_was():
    assert compute_score("arithmetic", " 42\n", "42")["pred"] == "42"
    assert compute_score("arithmetic", " \n", "42")["pred"] == ""


@given(integers, integers)
def test_another_number_is_wrong(answer, other):
    assert score(str(other), str(answer)) == (RIGHT if other == answer else WRONG)


@given(st.text(), integers)
def test_any_response_is_scored_and_only_the_answer_wins(response, answer):
    won = score(response, str(answer)) == RIGHT
    assert won == (response.strip(" \t\r\n") == str(answer))


@pytest.mark.parametrize(
    "response",
    [
        "",
        "42 43",
        "41 42",
        "042",
        "+42",
        "42.0",
        "4_2",
        "4 2",
        "42<|im_end|>",
        "42\n42",
        "42\x00",
        "\u0664\u0662",
        "\uff14\uff12",
        "42\u200b",
        "\u00a042",
        "\ud800",
        "4.2e1",
        "0x2a",
        "nan",
        "4" * 1_000_000,
        "42" + "\u0301",
    ],
)
def test_hostile_responses_earn_nothing(response):
    assert score(response, "42") == WRONG


def test_a_number_as_ground_truth():
    assert score("42", 42) == RIGHT


def test_whatever_else_verl_hands_over_is_ignored():
    extra = {"num_turns": 2, "rollout_reward_scores": {}}
    assert (
        compute_score(
            data_source="arithmetic",
            solution_str="7",
            ground_truth="7",
            extra_info=extra,
            reward_router_address="localhost:1",
            reward_model_tokenizer=None,
        )["score"]
        == RIGHT
    )
    assert extra == {"num_turns": 2, "rollout_reward_scores": {}}


def test_verl_finds_and_calls_it():
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    function = {"path": "pkg://verl_spo.demo.rewards", "name": "compute_score", "reward_kwargs": {}}
    judge = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": function}}))
    assert judge(data_source="arithmetic", solution_str="7", ground_truth="7", extra_info={})["score"] == RIGHT
    assert list(signature(compute_score).parameters)[:4] == [
        "data_source",
        "solution_str",
        "ground_truth",
        "extra_info",
    ]


def test_reward_workers_need_neither_torch_nor_transformers():
    code = "import sys, verl_spo.demo.rewards; assert not {'torch', 'transformers', 'verl'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
