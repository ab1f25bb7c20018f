"""Math-Verify: LaTeX and numbers, compared as mathematics.

Importing this takes sympy: only processes that judge do.
"""

from typing import Any, cast

from math_verify import LatexExtractionConfig, parse, verify

from verl_spo.errors import DataError
from verl_spo.rewards.verdicts import Answer, Verdict


def judge(answer: Answer) -> Verdict:
    """1 if the last answer in the response equals the ground truth, otherwise 0.

    Raises:
        DataError: The ground truth is not LaTeX.
    """
    truth = _parsed(answer.truth)
    if not truth:
        raise DataError(f"the ground truth {answer.truth!r} is not LaTeX that Math-Verify can read")
    found = parse(answer.response, parsing_timeout=None, raise_on_error=True)
    return Verdict(float(bool(found) and _verified(truth, found)), str(found[-1]) if found else "")


def equal(answers: tuple[str, str]) -> bool:
    """Whether two answers, as `judge` finds them, are equal with either of them as the ground truth.

    Math-Verify takes (1,\\infty) for x>1, and not the other way round. Text that it cannot read equals nothing else.
    """
    first, second = map(_parsed, answers)
    return _verified(first, second) or _verified(second, first)


# Limits are isolation.py's.


def _parsed(answer: str) -> list[Any]:
    return cast(
        list[Any],
        parse(rf"\boxed{{{answer}}}", [LatexExtractionConfig()], parsing_timeout=None, raise_on_error=True),
    )


def _verified(truth: list[Any], found: list[Any]) -> bool:
    return bool(verify(truth, found, timeout_seconds=None, raise_on_error=True))
