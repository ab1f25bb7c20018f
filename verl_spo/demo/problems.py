"""Additions, and somebody careless who does them.

What makes an addition hard is the length of its terms and the number of carries that the written method needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_DIGIT_COUNTS = (1, 2, 3, 4)
_DIGIT_WEIGHTS = (0.25, 0.35, 0.30, 0.10)
_SHARE_KEPT_WITHOUT_CARRY = 0.5


@dataclass(frozen=True, slots=True)
class Problem:
    """`left + right`, both 0 or more."""

    left: int
    right: int

    @property
    def question(self) -> str:
        """What the user's message says."""
        return f"{self.left}+{self.right}="

    @property
    def answer(self) -> str:
        """The right answer in canonical decimal."""
        return str(self.left + self.right)

    @property
    def digits(self) -> int:
        """Digits of the longer term."""
        return len(str(max(self.left, self.right)))

    @property
    def carries(self) -> int:
        """Carries that the written method needs: at most `digits`."""
        return _work_out(self, lambda: True)[1]


def draw_problems(rng: np.random.Generator, count: int) -> list[Problem]:
    """`count` independent problems, repetitions included.

    Terms have 1 to 4 digits, independently. Half of the problems without any carry are passed over: they are a good
    third of what such a draw gives, and have little to teach.
    """
    drawn: list[Problem] = []
    while len(drawn) < count:
        digits = rng.choice(_DIGIT_COUNTS, size=(count, 2), p=_DIGIT_WEIGHTS)
        terms = rng.integers(np.where(digits == 1, 0, 10 ** (digits - 1)), 10**digits)
        lucky = rng.random(count) < _SHARE_KEPT_WITHOUT_CARRY
        candidates = [Problem(left, right) for left, right in terms.tolist()]
        drawn += [problem for problem, keep in zip(candidates, lucky, strict=True) if keep or problem.carries]
    return drawn[:count]


def careless_answer(problem: Problem, slip: float, rng: np.random.Generator) -> str:
    """The answer of somebody who forgets each carry with probability `slip`, in [0, 1]."""
    return _work_out(problem, lambda: rng.random() >= slip)[0]


def _work_out(problem: Problem, remembers: Callable[[], bool]) -> tuple[str, int]:
    """The written method, column by column from the right: the answer, and how many carries were remembered."""
    left, right = problem.left, problem.right
    value, place, carry, carried = 0, 1, 0, 0
    while left or right:
        left, upper = divmod(left, 10)
        right, lower = divmod(right, 10)
        column = upper + lower + carry
        carry = int(column >= 10 and remembers())
        carried += carry
        value += column % 10 * place
        place *= 10
    return str(value + carry * place), carried
