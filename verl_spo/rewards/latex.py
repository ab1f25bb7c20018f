"""Math-Verify: LaTeX and numbers, compared as mathematics.

Importing this takes sympy: only processes that judge do.
"""

from math_verify import LatexExtractionConfig, parse, verify

from verl_spo.errors import DataError
from verl_spo.rewards.verdicts import Answer, Verdict


def judge(answer: Answer) -> Verdict:
    """1 if the last answer in the response equals the ground truth, otherwise 0.

    Raises:
        DataError: The ground truth is not LaTeX.
    """
    # Limits are isolation.py's.
    truth = parse(rf"\boxed{{{answer.truth}}}", [LatexExtractionConfig()], parsing_timeout=None, raise_on_error=True)
    if not truth:
        raise DataError(f"the ground truth {answer.truth!r} is not LaTeX that Math-Verify can read")
    found = parse(answer.response, parsing_timeout=None, raise_on_error=True)
    right = bool(found) and verify(truth, found, timeout_seconds=None, raise_on_error=True)
    return Verdict(float(right), str(found[-1]) if found else "")
