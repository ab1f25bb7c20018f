"""What verl calls: one function per scorer, with verl's arguments and verl's form of a result."""

from typing import Any, TypedDict

from verl_spo.rewards.isolation import TIME_LIMIT_S
from verl_spo.rewards.judging import judge
from verl_spo.rewards.scorers import SCORERS
from verl_spo.rewards.verdicts import Answer

# What verl keeps of an answer, votes with and stores, whatever the model wrote.
_FOUND_CHARACTERS = 200


class Reward(TypedDict):
    """verl collects each entry in an array over all answers: one type each, whatever happens."""

    score: float
    """The reward, in [0, 1]."""
    acc: float
    """What verl reports in validation: the same."""
    pred: str
    """The answer that was found in the response, at most 200 characters; verl votes with it (`maj@k`)."""
    failed: float
    """1 if there was no judgement: it took too long, or raised an error. Then `score` is 0."""


def math_dapo(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    time_limit_s: float = TIME_LIMIT_S,
    **unused: Any,
) -> Reward:
    """verl's scorer for DAPO: the text after the last "Answer:", or else in the last box, against the ground truth."""
    return _reward("math_dapo", data_source, solution_str, ground_truth, extra_info, time_limit_s)


def math_verify(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    time_limit_s: float = TIME_LIMIT_S,
    **unused: Any,
) -> Reward:
    """Math-Verify: the last box, or else the last formula or number, against the ground truth, as mathematics.

    Boxes that follow one another closely are one answer, a set.
    """
    return _reward("math_verify", data_source, solution_str, ground_truth, extra_info, time_limit_s)


def reasoning_gym(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    time_limit_s: float = TIME_LIMIT_S,
    **unused: Any,
) -> Reward:
    """The scorer of a reasoning-gym task, for the rows of `verl-spo data reasoning-gym`; some give part of the 1."""
    return _reward("reasoning_gym", data_source, solution_str, ground_truth, extra_info, time_limit_s)


def reference(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Any = None,
    time_limit_s: float = TIME_LIMIT_S,
    **unused: Any,
) -> Reward:
    """SPO's reference recipe: text in a box in the last 100 characters, of a model that thinks."""
    return _reward("reference", data_source, solution_str, ground_truth, extra_info, time_limit_s)


def _reward(scorer: str, data_source: str, response: str, truth: Any, extra: Any, time_limit_s: float) -> Reward:
    answer = Answer(data_source, response, str(truth), dict(extra or {}))
    verdict = judge(SCORERS[scorer], answer, time_limit_s)
    if verdict is None:
        return Reward(score=0.0, acc=0.0, pred="", failed=1.0)
    return Reward(score=verdict.score, acc=verdict.score, pred=verdict.found[:_FOUND_CHARACTERS], failed=0.0)
