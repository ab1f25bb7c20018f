"""`verl-spo runs`: what there is, and changing it."""

from dataclasses import asdict
from typing import Annotated

import typer

from verl_spo.cli.app import App
from verl_spo.cli.database import DEFAULT_DB, Db, Json, RunName, confirm, moment, print_json, print_table, tell
from verl_spo.cli.terminal import say
from verl_spo.store import open_reader, queries
from verl_spo.store.database.connections import writing
from verl_spo.store.queries import RunDetail
from verl_spo.store.runs import manage
from verl_spo.wording import byte_size

app = App(help="List, show, rename, tag and delete runs.", no_args_is_help=True)


@app.command("list")
def list_runs(
    db: Db = DEFAULT_DB,
    search: Annotated[str, typer.Option(help="Part of the name.")] = "",
    tag: Annotated[str | None, typer.Option(help="Only runs that have it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    with open_reader(db) as reader:
        found = queries.runs(reader, search, tag, limit)
    if as_json:
        print_json([asdict(run) for run in found])
        return
    rows = [
        (
            run.name,
            run.status,
            run.last_step,
            f"{run.pool_size:,}",
            run.attempt,
            moment(run.created_at),
            ", ".join(run.tags),
        )
        for run in found
    ]
    print_table(
        ("run", "status", "step", "prompts", "attempt", "created", "tags"), rows, whole=("step", "prompts", "attempt")
    )


@app.command()
def show(name: RunName, db: Db = DEFAULT_DB, as_json: Json = False) -> None:
    """Show all about a run: its attempts, configuration and software."""
    with open_reader(db) as reader:
        found = queries.run(reader, name)
    if as_json:
        print_json(asdict(found))
        return
    _show(found)


@app.command()
def rename(
    name: RunName, new: Annotated[str, typer.Argument(help="Its new name.")], db: Db = DEFAULT_DB, as_json: Json = False
) -> None:
    """Give a run another name. Its checkpoints know the old one, so it cannot be resumed under the new one."""
    with writing(db) as engine:
        manage.rename(engine, name, new)
    tell({"run": new, "was": name}, f"{name} is now {new}", as_json)


@app.command()
def tag(
    name: RunName,
    add: Annotated[list[str] | None, typer.Argument(metavar="[TAG]...", help="Tags to add.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to remove; may be given several times.")] = None,
    db: Db = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """Add and remove a run's tags, and show them."""
    with writing(db) as engine:
        tags = manage.tag(engine, name, add or [], remove or [])
    tell({"run": name, "tags": tags}, f"{name}: {', '.join(tags) or 'no tags'}", as_json)


@app.command()
def delete(
    name: RunName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    db: Db = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """Delete a run with all its history. Its prompts stay: other runs may share them."""
    with open_reader(db) as reader:
        run = queries.run(reader, name).run
    if not yes:
        confirm(f"Delete {name} ({run.last_step} steps, {run.pool_size:,} prompts) for good?")
    with writing(db) as engine:
        manage.delete_run(engine, name)
    tell({"run": name, "deleted": True}, f"{name} is deleted", as_json)


def _show(found: RunDetail) -> None:
    run = found.run
    rows = [
        ("status", f"{run.status}: {run.phase}" if run.phase else run.status),
        ("step", run.last_step),
        ("prompts", f"{run.pool_size:,}"),
        ("created", moment(run.created_at)),
        ("last sign of life", moment(run.heartbeat_at)),
        ("ended", moment(run.ended_at)),
        ("texts", byte_size(run.rollout_bytes)),
        ("tags", ", ".join(run.tags)),
        *([("branched from", f"{run.parent_name}, step {run.parent_step}")] if run.parent_name else []),
        ("uid", run.uid),
        *(item for attempt in found.attempts[-1:] for item in attempt.versions.items()),
    ]
    print_table((run.name, ""), rows)
    for line in (run.error or "").splitlines():
        say(line)
    attempts = [
        (
            attempt.attempt,
            moment(attempt.started_at),
            "the beginning" if attempt.resumed_from is None else f"step {attempt.resumed_from}",
            "" if attempt.kept_through is None else f"after step {max(attempt.kept_through, 0)}",
            attempt.host,
            (attempt.git or {}).get("commit", "")[:12],
        )
        for attempt in found.attempts
    ]
    print_table(("attempt", "started", "from", "superseded", "host", "commit"), attempts)
