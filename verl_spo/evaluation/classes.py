"""Classes of equal answers among the samples of one problem: who votes for the same."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

from verl_spo.evaluation.canonical import LONGEST

Form = Callable[[str], str]
"""How an answer is written where nothing but its meaning counts."""
Equal = Callable[[str, str], bool]
"""Whether two answers in different forms are equal. The first is the rarer one; pairs come in a fixed order."""

_INTEGER = re.compile("-?[0-9]+")


def votes(found: Sequence[str], form: Form = str, equal: Equal | None = None) -> list[str]:
    """Each sample's vote: the same string for equal answers.

    Equality is made transitive: if a equals b, and b equals c, the three are one class. Its string is the most frequent
    form in it, and of equally frequent ones the first in the order of the alphabet. So the order of samples does not
    matter.

    Args:
        found: What each sample of one problem answered; "" if nothing, which abstains.
        form: Answers of one form are equal.
        equal: Says which other answers are equal; without it, none are. It is not asked about pairs that are in one
            class already, about two integers, and about what is too long to be an answer.

    Returns:
        As many votes; "" abstains.
    """
    forms = [form(answer) for answer in found]
    counts = Counter(filter(None, forms))
    by_weight = sorted(counts, key=lambda each: (-counts[each], each))
    rank = {each: place for place, each in enumerate(by_weight)}
    classes = _classes(by_weight, equal) if equal else [[each] for each in by_weight]
    vote = {each: min(members, key=rank.__getitem__) for members in classes for each in members}
    return [vote.get(each, "") for each in forms]


def _classes(forms: Sequence[str], equal: Equal) -> list[list[str]]:
    """Each form in turn joins all classes that have an equal one."""
    classes: list[list[str]] = []
    for form in forms:
        joined = [
            members for members in classes if any(_may_equal(form, each) and equal(form, each) for each in members)
        ]
        classes = [members for members in classes if members not in joined]
        classes.append([*chain(*joined), form])
    return classes


def _may_equal(first: str, second: str) -> bool:
    integers = _INTEGER.fullmatch(first) and _INTEGER.fullmatch(second)
    return not integers and max(len(first), len(second)) <= LONGEST
