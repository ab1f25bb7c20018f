"""Verifiable rewards, as verl's custom reward functions call them.

Select one with `reward.custom_reward_function.path=pkg://verl_spo.demo.rewards`. Reward workers import this module:
it must stay light.
"""

from typing import Any

_BLANKS = " \t\r\n"
_SHOWN_CHARACTERS = 200


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **unused: Any
) -> dict[str, Any]:
    """1 if the response is the ground truth and nothing else, up to surrounding ASCII blanks; otherwise 0.

    Text is compared, not numbers, on purpose: a model earns nothing with other scripts' digits, underscores, leading
    zeros or a list of guesses, and no response is too long or too odd to be scored.

    Returns:
        `score` is the reward and `acc` what verl reports in validation: both 0.0 or 1.0. `pred` is the answer, by which
        verl votes.
    """
    answer = solution_str.strip(_BLANKS)
    right = float(answer == str(ground_truth).strip(_BLANKS))
    return {"score": right, "acc": right, "pred": answer[:_SHOWN_CHARACTERS]}
