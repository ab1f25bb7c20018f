"""Problems of integer arithmetic, and somebody careless who solves them.

Problems are sums and differences of integers of 1 to 4 digits. What makes one hard is its length and the number of
carries (or borrows) that the written method needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_DIGIT_COUNTS = (1, 2, 3, 4)
_DIGIT_WEIGHTS = (0.25, 0.30, 0.30, 0.15)
_SUBTRACTION_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Problem:
    """`left operator right`: operands of 0 or more, and `operator` one of `+` and `-`."""

    left: int
    operator: str
    right: int

    @property
    def question(self) -> str:
        """What the user's message says."""
        return f"{self.left}{self.operator}{self.right}="

    @property
    def answer(self) -> str:
        """The right answer in canonical decimal: no leading zeros, no plus sign."""
        return str(self.left + self.right if self.operator == "+" else self.left - self.right)

    @property
    def digits(self) -> int:
        """Digits of the longer operand."""
        return len(str(max(self.left, self.right)))

    @property
    def carries(self) -> int:
        """Carries or borrows that the written method needs: at most `digits`."""
        return _work_out(self, lambda: True)[1]


def draw_problems(rng: np.random.Generator, count: int) -> list[Problem]:
    """`count` independent problems, repetitions included: each operand's length first, then its value."""
    digits = rng.choice(_DIGIT_COUNTS, size=(count, 2), p=_DIGIT_WEIGHTS)
    operands = rng.integers(np.where(digits == 1, 0, 10 ** (digits - 1)), 10**digits)
    operators = np.where(rng.random(count) < _SUBTRACTION_SHARE, "-", "+")
    return [
        Problem(left, operator, right)
        for (left, right), operator in zip(operands.tolist(), operators.tolist(), strict=True)
    ]


def careless_answer(problem: Problem, slip: float, rng: np.random.Generator) -> str:
    """The answer of somebody who forgets each carry or borrow with probability `slip`, in [0, 1].

    Right with probability (1 - slip) ** carries.
    """
    return _work_out(problem, lambda: rng.random() >= slip)[0]


def _work_out(problem: Problem, remembers: Callable[[], bool]) -> tuple[str, int]:
    """The written method, column by column from the right: the answer, and how many carries were remembered."""
    adding = problem.operator == "+"
    negative = not adding and problem.left < problem.right
    above, below = sorted((problem.left, problem.right), reverse=True)
    value, place, carry, carried = 0, 1, 0, 0
    for _ in range(problem.digits):
        above, upper = divmod(above, 10)
        below, lower = divmod(below, 10)
        column = upper + lower + carry if adding else upper - lower - carry
        carry = int(not 0 <= column <= 9 and remembers())
        value += column % 10 * place
        place *= 10
        carried += carry
    value += carry * place
    return f"-{value}" if negative and value else str(value), carried
