"""`verl-spo watch`: tells when something is wrong with a run, and when it is right again."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from verl_spo.cli.database import DEFAULT_DB, Db, RunName, moment
from verl_spo.cli.terminal import say
from verl_spo.errors import StoreError
from verl_spo.store import open_reader
from verl_spo.watching import VARIABLE, AlertRules, hooks
from verl_spo.watching.hooks import Hook
from verl_spo.watching.watch import Event, Watch

ALERTED = 1
"""Exit status if an alert was raised, a failed run's among them."""

Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="NAME=VALUE",
        envvar=VARIABLE,
        show_envvar=True,
        help="A rule's limit (docs/alerts.md); may be repeated.",
    ),
]


def watch(
    run: RunName,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 30.0,
    once: Annotated[bool, typer.Option("--once", help="Look once: for cron and the like.")] = False,
    rule: Rules = None,
    command: Annotated[
        str | None, typer.Option(help="Program with arguments, run for each alert that begins or ends; no shell.")
    ] = None,
    webhook: Annotated[str | None, typer.Option(help="Address that gets each of these as JSON by POST.")] = None,
    db: Db = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document per line.")] = False,
) -> None:
    """Tell when something is wrong with a run, until it ends; exit status 1 if anything was."""
    watching = Watch(run, AlertRules.parse(rule or ()))
    told = [hooks.command(command)] if command is not None else []
    told += [hooks.webhook(webhook)] if webhook is not None else []
    _tell(_look(watching, db), told, as_json)
    while not (once or watching.over):
        time.sleep(every)
        try:
            events = _look(watching, db)
        except StoreError as error:
            say(f"{error}; trying again", error=True)
            continue
        _tell(events, told, as_json)
    if watching.run is not None and not as_json:
        say(f"{run}: {watching.run.status}, step {watching.run.last_step}; {_verdict(watching)}")
    raise typer.Exit(ALERTED if watching.raised else 0)


def _look(watching: Watch, db: str) -> list[Event]:
    with open_reader(db) as reader:
        return watching.look(reader, time.time())


def _tell(events: Sequence[Event], told: Sequence[Hook], as_json: bool) -> None:
    for event in events:
        if as_json:
            print(json.dumps(event.to_dict()), flush=True)
        else:
            say(f"{moment(event.time)}  {event.text}")
            sys.stdout.flush()
        for hook in told:
            if trouble := hook(event):
                say(trouble, error=True)


def _verdict(watching: Watch) -> str:
    return "there were alerts" if watching.raised else "no alert"
