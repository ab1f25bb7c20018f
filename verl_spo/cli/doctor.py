"""`verl-spo doctor`: is this environment fit to train?"""

import os
import warnings
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from verl_spo.cli.terminal import plain
from verl_spo.config import ADVANTAGE_ESTIMATOR, TRAINER_MODES, StoreConfig
from verl_spo.errors import SPOError
from verl_spo.store.engine import check_writable
from verl_spo.store.urls import mask
from verl_spo.training import plugin_check, provenance

Check = tuple[str, Callable[[], str]]


def doctor(db: Annotated[str, typer.Option(envvar="VERL_SPO_DB", help="Database URL.")] = StoreConfig().url) -> None:
    """Check versions, verl's plug-in mechanism, the registrations, the platform and the database."""
    checks: list[Check] = [
        ("versions", _versions),
        ("plug-in", _plugin),
        ("registered in verl", _registrations),
        ("platform", _platform),
        ("database", lambda: _database(db)),
    ]
    table = Table(show_header=False, box=None)
    failed = False
    for name, check in checks:
        try:
            table.add_row("[green]ok[/]", name, plain(check()))
        except SPOError as error:
            failed = True
            table.add_row("[red]fails[/]", name, plain(error))
    Console().print(table)
    raise typer.Exit(1 if failed else 0)


def _versions() -> str:
    return ", ".join(f"{name} {version}" for name, version in provenance.versions().items())


def _plugin() -> str:
    plugin_check.check()
    return f"entry point {plugin_check.NAME!r} of {plugin_check.GROUP!r} loads"


def _registrations() -> str:
    """Import what verl's TaskRunner imports, and look whether SPO is in it."""
    from verl_spo.training.registrations import check

    with warnings.catch_warnings():
        # verl names every engine that is not installed.
        warnings.simplefilter("ignore")
        check()
    return f"estimator {ADVANTAGE_ESTIMATOR}, trainers {', '.join(TRAINER_MODES)}"


def _platform() -> str:
    return f"VERL_PLATFORM={os.environ.get('VERL_PLATFORM', '(unset: verl looks for an accelerator)')}"


def _database(url: str) -> str:
    check_writable(url, make=False)
    return mask(url)
