r"""SPO's reference recipe (recipe/spo/spo_retool.py of verl): a box at the very end, compared as text.

Published figures were judged so. It sees less than Math-Verify does: 0.5 is not \frac{1}{2}, and a box that a sentence
of 100 characters follows is none.
"""

from verl_spo.rewards.verdicts import Answer, Verdict

THOUGHT_END = "</think>"
_SEEN_CHARACTERS = 100
_BOX = r"\boxed{"


def judge(answer: Answer) -> Verdict:
    r"""1 if the last \boxed{} in the last 100 characters holds the ground truth, character for character.

    The response must have exactly one `</think>`; otherwise the score is 0 and nothing is found. "At most one" would
    spare models that do not think, but that is not how the recipe counts, and a thought that was cut off would pass
    where the chat template has opened it. So every response of a model that does not think gets 0: judge such a model
    by another scorer.
    """
    found = boxed(answer.response[-_SEEN_CHARACTERS:]) if answer.response.count(THOUGHT_END) == 1 else None
    # An empty box is one: verl compares it, too.
    return Verdict(float(found == answer.truth), found or "")


def boxed(text: str) -> str | None:
    r"""What the last \boxed{} in a text holds; None if there is none, or if its brace is not closed."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    start += len(_BOX)
    depth = 1
    for end, character in enumerate(text[start:], start):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[start:end]
    return None
