"""`verl-spo evaluations`: what was evaluated, of runs and of models of no run, and letting it go."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from verl_spo.cli.app import App
from verl_spo.cli.database import DEFAULT_DB, Db, Json, confirm, moment, print_json, print_table, tell
from verl_spo.errors import DataError
from verl_spo.store import Reader, open_reader, queries
from verl_spo.store.database.connections import writing
from verl_spo.store.queries import EvaluationRow
from verl_spo.store.runs import upkeep

app = App(help="List and delete evaluations.", no_args_is_help=True)


@app.command("list")
def list_evaluations(
    name: Annotated[str | None, typer.Argument(metavar="[RUN|MODEL]", help="By default all models of no run.")] = None,
    db: Db = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """List a run's evaluations and validations, or those of models of no run."""
    with open_reader(db) as reader:
        found = _of(reader, name)
    if as_json:
        print_json([asdict(row) for row in found])
        return
    rows = [
        (
            name if row.run_id is not None else row.model,
            row.step,
            row.benchmark,
            row.origin,
            f"{row.samples:,} of {row.wanted * row.problems:,}",
            moment(row.started_at),
        )
        for row in found
    ]
    print_table(("policy", "step", "benchmark", "origin", "samples", "started"), rows, whole=("step", "samples"))


@app.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="Name of a run, or a model as it was evaluated.")],
    benchmark: Annotated[str | None, typer.Option(help="Only of this one.")] = None,
    step: Annotated[int | None, typer.Option(help="Only of the policy of this step.")] = None,
    texts: Annotated[bool, typer.Option("--texts", help="Only the texts: figures and verdicts stay.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    db: Db = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """Delete evaluations with their samples; their problems stay, since runs may share them."""
    with open_reader(db) as reader:
        rows = [row for row in _of(reader, name) if benchmark in (None, row.benchmark) and step in (None, row.step)]
    if not rows:
        raise DataError(f"{name}: no such evaluation; `verl-spo evaluations list` shows what there is")
    what = f"{'the texts of ' if texts else ''}{len(rows)} evaluations of {name}"
    if not yes:
        confirm(f"Delete {what} ({sum(row.samples for row in rows):,} samples) for good?")
    with writing(db) as engine:
        upkeep.delete_evaluations(engine, [row.id for row in rows], texts)
    tell({"name": name, "evaluations": len(rows), "texts_only": texts}, f"{what}: deleted", as_json)


def _of(reader: Reader, name: str | None) -> Sequence[EvaluationRow]:
    """The evaluations of a run, of a model of no run, or of all such models."""
    run = None if name is None else queries.find_run(reader, name)
    found = queries.evaluations(reader, run.run.id if run else None)
    return found if run or name is None else [row for row in found if row.model == name]
