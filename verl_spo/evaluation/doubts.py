"""What a reader should look at before believing a verdict."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, get_args

from verl_spo.rewards.strict_box import THOUGHT_END
from verl_spo.store.records import Finish

Doubt = Literal["disagreement", "cut_off", "truth_in_text", "thoughts"]
"""What may be wrong with a verdict.

disagreement: scorers give the sample different scores.
cut_off: the response ended at its token limit, not by itself.
truth_in_text: every scorer gives 0, and yet the ground truth stands in the last 300 characters.
thoughts: the response has not exactly one `</think>`, so that `reference` gives 0 whatever it says.
"""

IN_WORDS: Mapping[Doubt, str] = {
    "disagreement": "scorers disagree",
    "cut_off": "cut off",
    "truth_in_text": "right answer outside the box",
    "thoughts": "not exactly one </think>",
}
"""The same for people, as few words as a table has room for."""

_SEARCHED_CHARACTERS = 300


def doubts(response: str, truth: str, finish_reason: str | None, scores: Mapping[str, float]) -> frozenset[Doubt]:
    """The doubts about one sample.

    Args:
        response: What the model wrote.
        truth: The ground truth, which counts as standing in the text where it is no part of a longer word or number.
        finish_reason: How the sample ended; None if unknown.
        scores: By scorer, in [0, 1].
    """
    holds: dict[Doubt, bool] = {
        "disagreement": len(set(scores.values())) > 1,
        "cut_off": finish_reason == Finish.LENGTH,
        "truth_in_text": not any(scores.values()) and _stands_in(truth, response[-_SEARCHED_CHARACTERS:]),
        "thoughts": response.count(THOUGHT_END) != 1,
    }
    return frozenset(doubt for doubt, held in holds.items() if held)


def counts(samples: Iterable[Collection[Doubt]]) -> dict[Doubt, int]:
    """How many samples have each doubt."""
    counted = Counter(doubt for sample in samples for doubt in set(sample))
    return {doubt: counted[doubt] for doubt in get_args(Doubt)}


def _stands_in(truth: str, text: str) -> bool:
    token = re.escape(truth.strip())
    return bool(token) and re.search(rf"(?<![\w\\-])(?<!\w[.,]){token}(?!\w)(?![.,]\w)", text) is not None
