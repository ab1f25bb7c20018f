"""verl's scorer for DAPO (verl/utils/reward_score/math_dapo.py:245). Its scores are -1 and 1."""

from verl.utils.reward_score.math_dapo import compute_score

from verl_spo.rewards.verdicts import Answer, Verdict


def judge(answer: Answer) -> Verdict:
    """Text is compared, after verl's normalization where it stands after "Answer:", as it is where it is boxed."""
    result = compute_score(answer.response, answer.truth)
    return Verdict(result["score"], str(result["pred"]))
