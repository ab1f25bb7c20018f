"""`verl-spo db`: the database itself."""

from dataclasses import asdict
from typing import Annotated

import typer

from verl_spo.cli.app import App
from verl_spo.cli.database import DEFAULT_DB, Db, Json, confirm, print_json, print_table, tell
from verl_spo.cli.terminal import say
from verl_spo.store import open_reader, queries
from verl_spo.store.database import schema_version
from verl_spo.store.database.connections import check_writable, inspecting, upgrading, writing
from verl_spo.store.database.urls import describe, parse
from verl_spo.store.runs import upkeep
from verl_spo.store.runs.upkeep import Policy
from verl_spo.store.schema import HEAD
from verl_spo.wording import byte_size

app = App(help="Upgrade, measure and tidy the database.", no_args_is_help=True)


@app.command()
def upgrade(db: Db = DEFAULT_DB, as_json: Json = False) -> None:
    """Make the schema, or bring it up to this version of verl-spo; what is in the database stays."""
    with upgrading(db) as connection:
        before = schema_version.current(connection)
        connection.rollback()
        schema_version.upgrade(connection)
    name = describe(parse(db))
    line = f"{name}: schema {before or 'none'} -> {HEAD}"
    tell({"database": name, "before": before, "schema": HEAD}, line, as_json)


@app.command()
def current(db: Db = DEFAULT_DB, as_json: Json = False) -> None:
    """Show the schema's version; exit status 1 if this version of verl-spo cannot use it."""
    with inspecting(db) as connection:
        revision = schema_version.current(connection)
    name = describe(parse(db))
    line = f"{name}: schema {revision or 'none'}, this verl-spo uses {HEAD}"
    tell({"database": name, "schema": revision, "used": HEAD}, line, as_json)
    raise typer.Exit(revision != HEAD)


@app.command()
def stats(db: Db = DEFAULT_DB, as_json: Json = False) -> None:
    """Show what the database holds, by table and by run. Counts every row: seconds where there are millions."""
    with open_reader(db) as reader:
        found = upkeep.stats(reader)
    if as_json:
        print_json(asdict(found))
        return
    print_table(("table", "rows"), [(table.name, f"{table.rows:,}") for table in found.tables])
    rows = [
        (run.name, f"{run.observations:,}", f"{run.superseded:,}", byte_size(run.rollout_bytes)) for run in found.runs
    ]
    print_table(("run", "observations", "superseded", "texts"), rows)
    say(f"{byte_size(found.size)} in all")


@app.command()
def prune(
    db: Db = DEFAULT_DB,
    run: Annotated[list[str] | None, typer.Option(help="Only this run; may be given several times.")] = None,
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Rows that no longer count, since their run went back before them.")
    ] = False,
    keep_rollouts: Annotated[
        int | None, typer.Option(min=0, help="Texts of all but each run's last so many steps.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Delete what the options name, after showing it; `vacuum` then gives the space back."""
    if not superseded and keep_rollouts is None:
        raise typer.BadParameter("name what may go: --superseded, --keep-rollouts, or both")
    with open_reader(db) as reader:
        wanted = [queries.run(reader, name).run for name in run] if run else queries.runs(reader, limit=10**9)
    policy = Policy([found.id for found in wanted], superseded, keep_rollouts)
    with writing(db) as engine:
        gone = upkeep.prunable(engine, policy)
        if not as_json:
            print_table(("table", "rows to delete"), [(name, f"{rows:,}") for name, rows in gone.rows.items()])
            say(f"{byte_size(gone.rollout_bytes)} of text, {len(wanted)} runs")
        going = not dry_run and any(gone.rows.values())
        if going:
            if not yes:
                confirm("Delete them for good?")
            upkeep.prune(engine, policy)
    if going or as_json:
        tell({**asdict(gone), "runs": len(wanted), "deleted": going}, "deleted", as_json)


@app.command()
def vacuum(db: Db = DEFAULT_DB, as_json: Json = False) -> None:
    """Give the space of deleted rows back. SQLite rewrites the whole file: nothing else may write meanwhile."""
    with open_reader(db) as reader:
        before = upkeep.stats(reader).size
    # Postgres only warns a role that may not, and passes over the tables.
    check_writable(db, make=False)
    with writing(db) as engine:
        upkeep.vacuum(engine)
    with open_reader(db) as reader:
        after = upkeep.stats(reader).size
    tell({"before": before, "after": after}, f"{byte_size(before)} -> {byte_size(after)}", as_json)
