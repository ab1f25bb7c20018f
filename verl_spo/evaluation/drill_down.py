"""Single samples of a problem, as a report lists them: what was said, what scorers think of it, why to doubt them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from verl_spo.evaluation.doubts import Doubt, doubts
from verl_spo.store.queries import SampleRow

REFERENCE = "reference"
"""The scorer that minds how often thoughts end: where it has not judged, that is nothing to doubt."""

_LONGEST_ANSWER = 80


@dataclass(frozen=True)
class SampleLine:
    """A sample.

    Attributes:
        sample: Its number among the problem's, from 0.
        finish: How it ended.
        length: Tokens that the model generated.
        scores: By scorer, in [0, 1].
        answers: What each scorer found, cut to a sensible length; empty if nothing.
        doubts: What may be wrong with the verdicts, sorted; none where the text was not kept.
        text: The end of the response; None where it was not kept.
        left_out: Characters of the response before `text`.
    """

    sample: int
    finish: str
    length: int
    scores: Mapping[str, float]
    answers: Mapping[str, str]
    doubts: Sequence[Doubt]
    text: str | None
    left_out: int

    @property
    def answer(self) -> str:
        """What the first scorer that found something found."""
        return next(filter(None, self.answers.values()), "")


def sample_lines(samples: Iterable[SampleRow], truth: str, characters: int) -> list[SampleLine]:
    """The samples of one problem.

    Args:
        samples: With their texts, as far as they were kept.
        truth: The problem's ground truth.
        characters: That are kept of the end of a response; 0 keeps none.
    """
    return [_line(each, truth, characters) for each in samples]


def _line(sample: SampleRow, truth: str, characters: int) -> SampleLine:
    scores = {name: verdict.score for name, verdict in sorted(sample.verdicts.items())}
    found = [] if sample.response is None else sorted(doubts(sample.response, truth, sample.finish, scores))
    response = sample.response or ""
    first = max(0, len(response) - characters)
    return SampleLine(
        sample.sample,
        sample.finish,
        sample.length,
        scores,
        {name: verdict.found[:_LONGEST_ANSWER] for name, verdict in sorted(sample.verdicts.items())},
        [doubt for doubt in found if doubt != "thoughts" or REFERENCE in scores],
        None if sample.response is None else response[first:],
        first,
    )
