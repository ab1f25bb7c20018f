"""`verl-spo score`: a run's stored samples, judged by more scorers."""

from collections.abc import Sequence
from typing import Annotated

import typer

from verl_spo.cli.database import DEFAULT_DB, Db
from verl_spo.cli.judging import PUBLISHED, Scorers, judge
from verl_spo.cli.terminal import say
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import EvaluationRow


def score(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run; its validations are judged, too.")],
    scorer: Scorers = None,
    again: Annotated[bool, typer.Option("--again", help="Judge what is judged already, too.")] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Judge a run's stored samples by more scorers than the reward of its recipe."""
    with open_reader(db) as reader:
        rows = queries.evaluations(reader, queries.run(reader, run).run.id)
        if judge(reader, db, rows, scorer, again):
            return
    say(f"{run}: nothing to judge; {_why_nothing(rows, scorer)}")


def _why_nothing(rows: Sequence[EvaluationRow], scorers: Sequence[str] | None) -> str:
    if not rows:
        return "it has no samples: `verl-spo evaluate` makes some"
    if scorers is None and not any(row.benchmark in PUBLISHED for row in rows):
        return f"name a --scorer for {', '.join(sorted({row.benchmark for row in rows}))}, which are no published sets"
    return "all samples are judged; --again judges them again"
