"""What an evaluation says of a policy: figures with their intervals, against published ones and against another policy.

Everything is worked out from stored samples; `rendering.py` writes it down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import numpy as np

from verl_spo.evaluation import published
from verl_spo.evaluation.comparison import Change, Comparison, changes, check_same_problems, compare
from verl_spo.evaluation.drill_down import SampleLine
from verl_spo.evaluation.evaluated import MEAN, Evaluated, common_samples, figures_of, interval_of
from verl_spo.evaluation.intervals import Interval, mean_interval, seeds_interval, smallest_difference
from verl_spo.evaluation.results import Problem
from verl_spo.evaluation.samples import FloatArray

# Standard deviations over problems of differences between two runs of like models, of 32 samples (docs/intervals.md).
_USUAL_SPREAD = 0.13
_USUAL_SPREAD_OF_MAJORITY = 0.27


@dataclass(frozen=True)
class Line:
    """A benchmark's figures, or the mean over all of them.

    Attributes:
        benchmark: Its name, or `MEAN`.
        problems: How many.
        figures: By name, such as `avg@32`; 95 % intervals over problems.
        published: maj@32 of the paper's SPO and GRPO, where it has this benchmark.
        cut_off: Share of samples that ended at their token limit.
        failed: Share of samples whose session failed, which count as wrong.
        length: Mean tokens per answer; NaN of the mean.
        smallest_difference: Of avg@32 between two policies, below which so many problems cannot tell it from 0, by what
            such differences usually vary; NaN for other numbers of samples.
    """

    benchmark: str
    problems: int
    figures: Mapping[str, Interval]
    published: Mapping[str, float]
    cut_off: float
    failed: float
    length: float
    smallest_difference: float


@dataclass(frozen=True)
class Point:
    """A figure of the policy of one training step."""

    benchmark: str
    figure: str
    step: int
    value: Interval


@dataclass(frozen=True)
class SeedLine:
    """A figure over training runs that differ by their seed: mean and 95 % interval over runs, of the same problems."""

    benchmark: str
    figure: str
    runs: int
    value: Interval


@dataclass(frozen=True)
class AnswerLine:
    """One of the answers to a problem: how many samples gave it, and their mean score; "" is no answer."""

    vote: str
    samples: int
    score: float


@dataclass(frozen=True)
class ProblemLine:
    """A problem with its figures, its answers, the most frequent first, and its samples."""

    place: int
    question: str
    ground_truth: str
    figures: Mapping[str, float]
    answers: Sequence[AnswerLine]
    samples: Sequence[SampleLine]

    @property
    def doubtful(self) -> Sequence[SampleLine]:
        """The samples that somebody should look at before believing a verdict."""
        return [each for each in self.samples if each.doubts]

    @property
    def doubts(self) -> int:
        """How many these are."""
        return len(self.doubtful)

    @property
    def scorers(self) -> Sequence[str]:
        """Those that have judged any of its samples."""
        return sorted({name for each in self.samples for name in each.scores})


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        title: Which policy.
        against: Which other one; None if none.
        scorer: Who judged.
        settings: How samples were drawn.
        lines: A line per benchmark, and one of their mean if there are several.
        comparisons: With the other policy.
        won: By benchmark, the problems that this policy answers better than the other, by how much.
        lost: Likewise worse.
        seeds: Over this run and others of the same recipe; empty if there are none.
        curves: Of the run's policies over its steps.
        problems: By benchmark, every problem with its figures.
        notes: What a reader must know.
    """

    title: str
    against: str | None
    scorer: str
    settings: Mapping[str, Any]
    lines: Sequence[Line]
    comparisons: Sequence[Comparison]
    won: Mapping[str, Sequence[Change]]
    lost: Mapping[str, Sequence[Change]]
    seeds: Sequence[SeedLine]
    curves: Sequence[Point]
    problems: Mapping[str, Sequence[ProblemLine]]
    notes: Sequence[str]


def lines(evaluated: Sequence[Evaluated], ks: Sequence[int]) -> list[Line]:
    """A line per benchmark, of each k samples per problem; with several, also one of their mean."""
    figures = [dict(chain(*(figures_of(each.results, k).items() for k in ks))) for each in evaluated]
    made = [_line(each, of) for each, of in zip(evaluated, figures, strict=True)]
    if len(made) < 2:
        return made
    problems = sum(line.problems for line in made)
    means = {name: interval_of([of[name] for of in figures]) for name in figures[0]}
    names = [line.benchmark for line in made]
    known = {method: published.mean_of(table, names) for method, table in _PUBLISHED.items()}
    return [
        *made,
        Line(
            MEAN,
            problems,
            means,
            {method: value for method, value in known.items() if value is not None},
            cut_off=float(np.mean([line.cut_off for line in made])),
            failed=float(np.mean([line.failed for line in made])),
            length=float("nan"),
            smallest_difference=_smallest([line.problems for line in made], figures[0]),
        ),
    ]


_PUBLISHED = {"SPO": published.SPO, "GRPO": published.GRPO}


def _smallest(sizes: Sequence[int], figures: Mapping[str, Any], spread: float = _USUAL_SPREAD) -> float:
    """`smallest_difference` of the mean over sets of so many problems, as far as its spread is known."""
    if f"avg@{published.SAMPLES}" not in figures or min(sizes) < 2:
        return float("nan")
    return smallest_difference(round(len(sizes) ** 2 / sum(1 / size for size in sizes)), spread)


def _line(evaluated: Evaluated, figures: Mapping[str, FloatArray]) -> Line:
    results, name = evaluated.results, evaluated.row.benchmark
    count = sum(problem.scores.size for problem in results.problems)
    return Line(
        name,
        len(results.problems),
        {figure: interval_of([values]) for figure, values in figures.items()},
        {method: table[name] for method, table in _PUBLISHED.items() if name in table},
        cut_off=results.cut_off / count,
        failed=results.failed / count,
        length=results.length,
        smallest_difference=_smallest([len(results.problems)], figures),
    )


def problem_lines(evaluated: Evaluated) -> list[ProblemLine]:
    """Every problem of a benchmark, the hardest first."""
    figures = figures_of(evaluated.results, evaluated.results.samples)
    made = [
        ProblemLine(
            row.place,
            row.question,
            row.ground_truth,
            {name: float(values[row.place]) for name, values in figures.items()},
            _answers(evaluated.results.problems[row.place]),
            evaluated.samples.get(row.place, ()),
        )
        for row in evaluated.problems
    ]
    return sorted(made, key=lambda line: (next(iter(line.figures.values())), line.place))


def _answers(problem: Problem) -> list[AnswerLine]:
    return [AnswerLine(*each) for each in problem.classes()]


def points(evaluated: Sequence[Evaluated]) -> list[Point]:
    """avg@n and maj@n of evaluations of several steps, in the order of the steps."""
    made = []
    for each in sorted(evaluated, key=lambda each: (each.row.benchmark, each.row.step)):
        n, of_step = each.results.samples, (each.row.benchmark, each.row.step)
        values = {f"avg@{n}": each.results.average()}
        if each.results.votes:
            values[f"maj@{n}"] = each.results.majority_at(n)
        made += [Point(of_step[0], name, of_step[1], mean_interval([figures])) for name, figures in values.items()]
    return made


def over_seeds(runs: Sequence[Sequence[Evaluated]]) -> list[SeedLine]:
    """Figures over runs of one recipe, of the benchmarks that all of them have; with several, also of their mean."""
    by_name = [{each.row.benchmark: each for each in run} for run in runs]
    names = [name for name in by_name[0] if all(name in run for run in by_name)]
    for name, run in product(names, by_name[1:]):
        check_same_problems(by_name[0][name], run[name])
    n = min(map(common_samples, runs))
    of_run = [{name: _means(run[name], n) for name in names} for run in by_name]
    if len(names) > 1:
        for means in of_run:
            means[MEAN] = {
                figure: float(np.mean([means[name][figure] for name in names])) for figure in means[names[0]]
            }
    values = {
        (name, figure): [means[name][figure] for means in of_run] for name in of_run[0] for figure in of_run[0][name]
    }
    return [
        SeedLine(*of, len(runs), seeds_interval(found)) for of, found in values.items() if not np.isnan(found).any()
    ]


def _means(evaluated: Evaluated, n: int) -> dict[str, float]:
    return {figure: float(values.mean()) for figure, values in figures_of(evaluated.results, n).items()}


def build(
    title: str,
    evaluated: Sequence[Evaluated],
    against: tuple[str, Sequence[Evaluated]] | None = None,
    over_steps: Sequence[Evaluated] = (),
    other_seeds: Sequence[Sequence[Evaluated]] = (),
    ks: Sequence[int] = (),
    other_ways: Sequence[str] = (),
) -> Report:
    """Put a report together.

    Args:
        title: Which policy.
        evaluated: On at least one benchmark, all by one scorer and sampled alike.
        against: Another policy's name, and its evaluations.
        over_steps: Evaluations of the same run at all its steps.
        other_seeds: Those of other runs of the same recipe, each on the same benchmarks.
        ks: Samples that figures are of, the most last; by default as many as every problem has.
        other_ways: How else the policy was sampled, in the words of `--setting`.

    Raises:
        ConfigError: A problem has fewer than k samples.
        DataError: Policies were not evaluated on the same problems.
    """
    now = {each.row.benchmark: each.row.problems_digest for each in evaluated}
    over_steps = [each for each in over_steps if each.row.problems_digest == now.get(each.row.benchmark)]
    others = [*(against[1] if against else ()), *chain(*other_seeds)]
    won, lost = changes(evaluated, against[1]) if against else ({}, {})
    made = lines(evaluated, ks or [common_samples(evaluated)])
    compared = [each for k in ks or (None,) for each in compare(evaluated, against[1], k)] if against else []
    return Report(
        title=title,
        against=against[0] if against else None,
        scorer=evaluated[0].results.scorer,
        settings=evaluated[0].row.settings,
        lines=made,
        comparisons=compared,
        won=won,
        lost=lost,
        seeds=over_seeds([evaluated, *other_seeds]) if other_seeds else [],
        curves=points(over_steps) if len({each.row.step for each in over_steps}) > 1 else [],
        problems={each.row.benchmark: problem_lines(each) for each in evaluated},
        notes=[*_notes(evaluated, made, compared), *_sampled_twice(other_ways), *_other_settings(evaluated, others)],
    )


def _notes(evaluated: Sequence[Evaluated], made: Sequence[Line], compared: Sequence[Comparison]) -> list[str]:
    last = made[-1]
    *_, figure = (name for name in last.figures if name.startswith("avg@"))
    n = figure.removeprefix("avg@")
    error = 100 * last.figures[figure].standard_error
    majority = 100 * _smallest([len(each.problems) for each in evaluated], last.figures, _USUAL_SPREAD_OF_MAJORITY)
    notes = [
        f"avg@{n} is the mean score; pass@{n} is the chance that one of {n} samples passes, pass^{n} that all do. "
        f"maj@{n} is what the most frequent answer scores, drawn without replacement, ties by their mean.",
        f"verl_maj@{n} is verl's own maj@{n}, a bootstrap with replacement. Published figures are almost surely this "
        "one: hold it against them.",
        f"{last.problems} problems: {figure} has a standard error of {error:.1f} points.",
        "Intervals are over problems: another training run of the same recipe differs by more than they say.",
    ]
    if not np.isnan(majority):
        notes.append(
            f"Two policies must differ by about {100 * last.smallest_difference:.1f} points of {figure}, or "
            f"{majority:.1f} of maj@{n}, for so many problems to tell them apart. The published gain of SPO over GRPO, "
            "from one run each, is 3.4 points of maj@32 over five sets."
        )
    for each in evaluated:
        notes += _notes_of(each)
    for difference in compared:
        if difference.benchmark == compared[-1].benchmark and difference.figure.startswith("avg@"):
            told = "can" if difference.p < 0.05 else "cannot"
            notes.append(
                f"Of {difference.figure} ({difference.benchmark}), the two policies {told} be told apart "
                f"(p = {difference.p:.2g})."
            )
    return notes


_DOUBTS = {
    "disagreement": "scorers disagree on {}",
    "truth_in_text": "the right answer stands in {} that nobody takes for right",
    "thoughts": "{} have not exactly one </think>",
}


def _notes_of(evaluated: Evaluated) -> list[str]:
    """What to know of one benchmark."""
    row, results, notes = evaluated.row, evaluated.results, []
    if not row.complete:
        notes.append(f"{row.benchmark}: {row.samples} of {row.wanted * row.problems} samples are there.")
    if results.failed:
        answered = float(np.nanmean(results.average_of_answered()))
        notes.append(
            f"{row.benchmark}: {results.failed} sessions failed and count as wrong; of those with an answer alone, the "
            f"mean score is {100 * answered:.1f}."
        )
    said = [text.format(evaluated.doubts[name]) for name, text in _DOUBTS.items() if evaluated.doubts.get(name)]
    if said:
        notes.append(f"{row.benchmark}, of {evaluated.doubts['texts']} samples with a text: {', '.join(said)}.")
    return notes


def _sampled_twice(ways: Sequence[str]) -> list[str]:
    return [f"There are samples of these benchmarks with {way} too: --setting chooses." for way in ways]


def _other_settings(evaluated: Sequence[Evaluated], others: Iterable[Evaluated]) -> list[str]:
    """What else differs than the policies."""
    mine, found = evaluated[0].row.settings, []
    for other in others:
        theirs = other.row.settings
        names = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        found += [
            f"Sampled otherwise: {name} is {mine.get(name)}, and {theirs.get(name)} of another." for name in names
        ]
    return list(dict.fromkeys(found))
