"""`verl-spo doctor`: is this environment fit to train, and this recipe fit to start?"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from verl_spo.cli.database import Json, print_json
from verl_spo.cli.extras import require
from verl_spo.cli.terminal import plain
from verl_spo.config import ADVANTAGE_ESTIMATOR, TRAINER_MODES, StoreConfig
from verl_spo.errors import SPOError
from verl_spo.store.database.connections import check_writable
from verl_spo.store.database.urls import mask
from verl_spo.training import plugin_check, provenance

if TYPE_CHECKING:
    from verl_spo.launching.doctor import Finding

_COLOURS = {"ok": "green", "fails": "red", "not checked": "yellow"}


def doctor(
    context: typer.Context,
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="A recipe to check too.")] = None,
    db: Annotated[str, typer.Option(envvar="VERL_SPO_DB", help="Database URL, without RECIPE.")] = StoreConfig().url,
    as_json: Json = False,
) -> None:
    """Check versions, verl's plug-in mechanism, the registrations, the platform and the database.

    With RECIPE, whose own database is then checked: all that can be known of it without an accelerator; further
    arguments are Hydra overrides. Exit status 1 if anything fails.
    """
    found = [*_environment(None if recipe else db), *(_recipe(recipe, context.args) if recipe else ())]
    if as_json:
        print_json(found)
    else:
        _show(found)
    raise typer.Exit(1 if any(each["status"] == "fails" for each in found) else 0)


def _environment(db: str | None) -> Iterator[dict[str, str]]:
    """Check the environment, and a database if it is named."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("versions", _versions),
        ("plug-in", _plugin),
        ("registered in verl", _registrations),
        ("platform", _platform),
    ]
    if db is not None:
        checks.append(("database", lambda: _database(db)))
    for subject, check in checks:
        try:
            yield {"subject": subject, "status": "ok", "detail": check()}
        except SPOError as error:
            yield {"subject": subject, "status": "fails", "detail": str(error)}


def report(recipe: str, overrides: Sequence[str]) -> bool:
    """Print what all checks of a recipe find; whether none fails."""
    found = _recipe(recipe, overrides)
    _show(found)
    return not any(each["status"] == "fails" for each in found)


def _recipe(recipe: str, overrides: Sequence[str]) -> list[dict[str, str]]:
    require("verl")
    _quiet_vllm()
    from verl_spo.launching.doctor import examine

    found: list[Finding] = list(examine(recipe, overrides))
    return [asdict(each) for each in found]


def _show(found: Sequence[dict[str, str]]) -> None:
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for each in found:
        colour = _COLOURS[each["status"]]
        table.add_row(f"[{colour}]{each['status']}[/]", plain(each["subject"]), plain(each["detail"]))
    Console().print(table)


def _versions() -> str:
    require("verl")
    plugin_check.check_version()
    return ", ".join(f"{name} {version}" for name, version in provenance.versions().items())


def _plugin() -> str:
    require("verl")
    plugin_check.check()
    return f"entry point {plugin_check.NAME!r} of {plugin_check.GROUP!r} loads"


def _registrations() -> str:
    """Import what verl's TaskRunner imports, and look whether SPO is in it."""
    require("verl")
    _quiet_vllm()
    with warnings.catch_warnings():
        # verl names every engine that is not installed.
        warnings.simplefilter("ignore")
        plugin_check.check_registrations()
    return f"estimator {ADVANTAGE_ESTIMATOR}, trainers {', '.join(TRAINER_MODES)}"


def _quiet_vllm() -> None:
    """Keep vLLM, which verl imports, from logging to stdout, where JSON goes."""
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


def _platform() -> str:
    return f"VERL_PLATFORM={os.environ.get('VERL_PLATFORM', '(unset: verl looks for an accelerator)')}"


def _database(url: str) -> str:
    check_writable(url, make=False)
    return mask(url)
