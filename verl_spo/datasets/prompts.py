"""A problem, and the ways to ask for its answer in a form that a scorer finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Style = Literal["boxed", "answer", "tagged", "plain"]

_DAPO_BEFORE = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
_DAPO_AFTER = '\n\nRemember to put your answer on its own line after "Answer:".'

AROUND: dict[Style, tuple[str, str]] = {
    # As Qwen's model cards recommend for mathematics.
    "boxed": ("", "\n\nPlease reason step by step, and put your final answer within \\boxed{}."),
    # As DAPO-Math-17k is published.
    "answer": (_DAPO_BEFORE, _DAPO_AFTER),
    "tagged": ("", "\n\nThink step by step, and put only your final answer between <answer> and </answer>."),
    "plain": ("", ""),
}
"""The words before and after a question."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and its answer, without instructions."""

    data_source: str
    """verl's metrics have it in their names: `val-core/DATA_SOURCE/acc/mean@N`."""
    question: str
    answer: str
    ability: str = "math"
    extra: Mapping[str, str | int] = field(default_factory=dict)
    """More for `extra_info`; the same names in all problems of a set."""

    def prompt(self, style: Style) -> str:
        """What the user's message says."""
        before, after = AROUND[style]
        return f"{before}{self.question}{after}"


def without_instruction(prompt: str, style: Style) -> str | None:
    """The question in a prompt of this style; None if the prompt is of another."""
    before, after = AROUND[style]
    if not (prompt.startswith(before) and prompt.endswith(after) and len(prompt) >= len(before) + len(after)):
        return None
    return prompt[len(before) : len(prompt) - len(after)]
