"""What verl gets from each reward function."""

import asyncio
import subprocess
import sys
from inspect import signature
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.hostile import HOSTILE
from verl_spo import rewards
from verl_spo.errors import ConfigError
from verl_spo.rewards import SCORERS, math_dapo, math_verify

pytestmark = pytest.mark.slow

TYPES = {"score": float, "acc": float, "pred": str, "failed": float}
FUNCTIONS = [math_dapo, math_verify]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "source", ["beyondaime", "brumo_2025", "hmmt_feb_2025", "aime_2024", "aime_2025", "math_dapo", "anything"]
)
def test_answers_of_every_data_source_are_scored(function, source) -> None:
    right = function(source, r"So it is \boxed{42}.", "42")
    assert right == {"score": 1.0, "acc": 1.0, "pred": "42", "failed": 0.0}
    assert function(source, r"So it is \boxed{41}.", "42") == {"score": 0.0, "acc": 0.0, "pred": "41", "failed": 0.0}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_responses_earn_nothing_and_end_nothing(function, name) -> None:
    time_limit = {"time_limit_s": 1.0} if function is math_verify else {}
    result = function("x", HOSTILE[name], "42", **time_limit)
    assert {key: type(value) for key, value in result.items()} == TYPES
    assert (result["score"], result["acc"]) == (0.0, 0.0)
    assert len(result["pred"]) <= 200
    assert all(np.array([value, value]).dtype.kind in "fU" for value in result.values())


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("response", "truth"),
    [
        (r"\boxed{42}", 42),
        (r"\boxed{\boxed{42}}", "42"),
        ("Answer: 42", "42"),
        ("\ud800 is odd. \\boxed{42}", "42"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("9" * 1_000_000 + r" and \boxed{42}", "42"),
    ],
)
def test_right_answers_earn_1(function, response, truth) -> None:
    assert function("x", response, truth)["score"] == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        (r"\boxed{0.5}", r"\frac{1}{2}"),
        (r"$\dfrac12$", r"\frac{1}{2}"),
        (r"\boxed{6 \cdot 7}", "42"),
        (r"\boxed{3\sqrt{2}}", r"\sqrt{18}"),
        (r"\boxed{\{2, 1\}}", r"\{1, 2\}"),
        (r"\boxed{\frac{9 \sqrt{23}}{23}}", r"\frac{9}{\sqrt{23}}"),
        ("The final answer is 1,024.", "1024"),
    ],
)
def test_math_verify_compares_mathematics_where_math_dapo_compares_text(response, truth) -> None:
    assert math_verify("hmmt_feb_2025", response, truth)["score"] == 1.0
    assert math_dapo("hmmt_feb_2025", response, truth)["score"] == 0.0


def test_a_ground_truth_that_is_no_latex_is_a_failed_judgement(caplog) -> None:
    assert math_verify("x", r"\boxed{42}", "")["failed"] == 1.0
    assert "the ground truth '' is not LaTeX" in caplog.text


@pytest.mark.parametrize("name", [name for name in SCORERS if not SCORERS[name].missing()])
def test_verl_finds_them_with_their_options(name) -> None:
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn

    function = {"path": "pkg://verl_spo.rewards", "name": name, "reward_kwargs": {"time_limit_s": 0}}
    score = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": function}}))
    assert list(signature(getattr(rewards, name)).parameters)[:4] == [
        "data_source",
        "solution_str",
        "ground_truth",
        "extra_info",
    ]
    with pytest.raises(ConfigError, match="time_limit_s"):
        score(data_source="x", solution_str="1", ground_truth="1", extra_info={"num_turns": None})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_verls_reward_manager_awaits_them_beside_one_another(function) -> None:
    import torch
    from verl import DataProto
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

    of_one = {"data_source": ["brumo_2025"], "reward_model": [{"ground_truth": "42"}], "extra_info": [{"index": 0}]}
    tokens = torch.ones(1, 4, dtype=torch.int64)
    data = DataProto.from_dict(
        {"responses": tokens, "attention_mask": tokens},
        non_tensors={name: np.array(value, dtype=object) for name, value in of_one.items()},
    )
    manager = NaiveRewardManager(None, SimpleNamespace(decode=lambda *_, **__: r"\boxed{42}"), function)

    async def judge_all() -> list[dict]:
        return await asyncio.gather(*[manager.run_single(data) for _ in range(16)])

    results = manager.loop.run_until_complete(judge_all())
    assert [result["reward_score"] for result in results] == [1.0] * 16
    assert results[0]["reward_extra_info"]["failed"] == 0.0


def test_reward_workers_need_neither_torch_nor_sympy_to_import_them() -> None:
    code = "import sys, verl_spo.rewards; assert not {'torch', 'verl', 'sympy', 'reasoning_gym'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
