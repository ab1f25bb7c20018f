"""What scorers say of stored samples, and the option that names them."""

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated

import typer

from verl_spo.cli.terminal import say
from verl_spo.config import StoreConfig
from verl_spo.datasets.sources import SOURCES
from verl_spo.errors import ConfigError, DataError
from verl_spo.rewards import SCORERS
from verl_spo.store import Reader, queries
from verl_spo.store.evaluating import Evaluating
from verl_spo.store.queries import EvaluationRow
from verl_spo.store.records import Finish, Verdicts

MATHEMATICS = ("math_verify", "reference")
"""The scorers of the published sets."""

PUBLISHED = frozenset(source.data_source for source in SOURCES.values())
"""The published sets, as the store calls benchmarks."""

_NEED_ROWS = ("reasoning_gym",)

Scorers = Annotated[
    list[str] | None,
    typer.Option(
        "--scorer",
        help="math_verify, reference or math_dapo; may be repeated. By default the first two, of published sets.",
    ),
]


def judge(
    reader: Reader, db: str, rows: Sequence[EvaluationRow], scorers: Sequence[str] | None, again: bool = False
) -> int:
    """Let scorers judge samples; returns how many verdicts that makes.

    Args:
        reader: The store.
        db: Its URL.
        rows: Whose samples.
        scorers: Their names; None for those of the published sets, of samples of these.
        again: Whether those that a scorer has judged are judged again.

    Raises:
        ConfigError: There is no such scorer, or it needs what is not installed.
        DataError: Texts of samples are gone.
    """
    names = scorers_of(scorers, {row.benchmark for row in rows})
    total = 0
    with Evaluating(StoreConfig(url=db)) as store:
        for row in rows:
            for name in names if scorers is not None or row.benchmark in PUBLISHED else ():
                count = 0
                for verdicts in _verdicts(reader, row, name, again):
                    store.judge(row.id, name, verdicts)
                    count += len(verdicts.place)
                if count:
                    say(f"{row.benchmark}, step {row.step}: {name} has judged {count:,} samples")
                total += count
    return total


def scorers_of(scorers: Sequence[str] | None, benchmarks: Collection[str]) -> Sequence[str]:
    """The scorers that can judge, as `judge` takes them: what is wrong with one is said before anything is answered.

    Raises:
        ConfigError: There is no such scorer, it needs what is not installed, or what the store does not have.
    """
    names = scorers if scorers is not None else MATHEMATICS if PUBLISHED & {*benchmarks} else ()
    for name in names:
        if name in _NEED_ROWS:
            raise ConfigError(
                f"--scorer {name}: needs what only the rows of a file say, which the store does not have; the verdicts "
                "of a recipe that has it as its reward are those of the scorer 'reward'"
            )
        if name not in SCORERS:
            raise ConfigError(f"--scorer {name}: there are {', '.join(SCORERS)}")
        SCORERS[name].check_installed("--scorer")
    return names


def _verdicts(reader: Reader, row: EvaluationRow, scorer: str, again: bool) -> Iterable[Verdicts]:
    """What a scorer says, problem by problem, of those with a sample that it has not judged."""
    from verl_spo.evaluation.scoring import Sample, score

    problems = {problem.place: problem for problem in queries.evaluation_problems(reader, row.id)}
    samples = [each for each in queries.evaluation_samples(reader, row.id) if each.finish != Finish.FAILED]
    open_places = {each.place for each in samples if again or scorer not in each.verdicts}
    chosen = [each for each in samples if each.place in open_places]
    if gone := sum(each.response is None for each in chosen):
        raise DataError(
            f"{row.benchmark}, step {row.step}: the texts of {gone} samples are gone, and {scorer} cannot judge them; "
            "spo.store.rollout_budget_mb says how much text a run may keep"
        )
    asked = [
        Sample(
            each.place,
            each.sample,
            each.response or "",
            problems[each.place].ground_truth,
            problems[each.place].data_source,
        )
        for each in chosen
    ]
    for judged in score(asked, scorer) if asked else ():
        yield Verdicts(
            place=[each.problem for each in judged],
            sample=[each.number for each in judged],
            score=[each.score for each in judged],
            found=[each.found for each in judged],
            vote=[each.vote for each in judged],
            failed=[each.failed for each in judged],
        )
