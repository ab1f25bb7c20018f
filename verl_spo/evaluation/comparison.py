"""Two policies on the same problems: differences with their intervals, and which problems were won and lost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verl_spo.errors import DataError
from verl_spo.evaluation.evaluated import MEAN, Evaluated, common_samples, figures_of
from verl_spo.evaluation.intervals import Interval, difference_interval, sign_flip_p
from verl_spo.evaluation.samples import FloatArray


@dataclass(frozen=True)
class Comparison:
    """One figure of two policies over the same problems.

    Attributes:
        benchmark: Its name, or `MEAN`.
        figure: Its name.
        difference: This policy's less the other's, with its 95 % interval over problems.
        p: Chance of one as large if the policies did not differ (sign flips).
    """

    benchmark: str
    figure: str
    difference: Interval
    p: float


@dataclass(frozen=True)
class Change:
    """A problem that one policy answers better than another; figures are avg@n."""

    place: int
    question: str
    before: float
    after: float


def compare(after: Sequence[Evaluated], before: Sequence[Evaluated], k: int | None = None) -> list[Comparison]:
    """Two policies on the benchmarks that both have, figure by figure, of k samples or as many as all problems have.

    Raises:
        DataError: They have none in common, or the problems or ground truths of one differ.
    """
    pairs = _paired(after, before)
    n = k or common_samples(each for pair in pairs.values() for each in pair)
    made: list[Comparison] = []
    both: dict[str, list[tuple[FloatArray, FloatArray]]] = {}
    for name, (now, then) in pairs.items():
        first, second = figures_of(then.results, n), figures_of(now.results, n)
        for figure in [name for name in first if not np.isnan([*first[name], *second[name]]).any()]:
            both.setdefault(figure, []).append((first[figure], second[figure]))
            made.append(_comparison(name, figure, [(first[figure], second[figure])]))
    if len(pairs) > 1:
        made += [_comparison(MEAN, figure, sets) for figure, sets in both.items() if len(sets) == len(pairs)]
    return made


def _comparison(name: str, figure: str, sets: Sequence[tuple[FloatArray, FloatArray]]) -> Comparison:
    before, after = [first for first, _ in sets], [second for _, second in sets]
    return Comparison(name, figure, difference_interval(before, after), sign_flip_p(before, after))


def changes(after: Sequence[Evaluated], before: Sequence[Evaluated]) -> tuple[dict[str, list[Change]], ...]:
    """The problems that were won, and those that were lost, the largest changes first; errors as of `compare`."""
    won: dict[str, list[Change]] = {}
    lost: dict[str, list[Change]] = {}
    for name, (now, then) in _paired(after, before).items():
        figures = zip(then.results.average().tolist(), now.results.average().tolist(), strict=True)
        moved = [Change(row.place, row.question, *pair) for row, pair in zip(now.problems, figures, strict=True)]
        moved.sort(key=lambda each: each.before - each.after)
        won[name] = [each for each in moved if each.after > each.before]
        lost[name] = [each for each in reversed(moved) if each.after < each.before]
    return won, lost


def _paired(after: Sequence[Evaluated], before: Sequence[Evaluated]) -> dict[str, tuple[Evaluated, Evaluated]]:
    others = {each.row.benchmark: each for each in before}
    pairs = {each.row.benchmark: (each, others[each.row.benchmark]) for each in after if each.row.benchmark in others}
    if not pairs:
        names = [", ".join(sorted(each.row.benchmark for each in side)) for side in (after, before)]
        raise DataError(f"no benchmark in common: one has {names[0] or 'none'}, the other {names[1] or 'none'}")
    for now, then in pairs.values():
        check_same_problems(now, then)
    return pairs


def check_same_problems(one: Evaluated, other: Evaluated) -> None:
    """Refuse to mix what is not alike.

    Raises:
        DataError: The problems or ground truths of two evaluations of a benchmark differ.
    """
    if one.row.problems_digest != other.row.problems_digest:
        raise DataError(
            f"{one.row.benchmark}: the two were evaluated on other problems or ground truths, and cannot be compared; "
            "evaluate both on the same file"
        )
