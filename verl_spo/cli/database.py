"""What the commands on the database share: options, the name of a run, JSON, tables."""

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from verl_spo.cli.terminal import plain, printable, say

DEFAULT_DB = "sqlite:///verl_spo.db"

Db = Annotated[str, typer.Option(envvar="VERL_SPO_DB", help="Database URL.", show_envvar=True)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run: project/experiment.")]


def print_json(value: Any) -> None:
    """Print a value for programs: infinities and NaN as null, bytes in hex."""
    json.dump(_json(value), sys.stdout, indent=2, allow_nan=False)
    print()


def tell(value: Any, line: str, as_json: bool) -> None:
    """Print what a command did: a value for programs, or a line for people."""
    if as_json:
        print_json(value)
    else:
        say(line)


def confirm(question: str) -> None:
    """Ask on stderr, where the answer is none of what programs read; no ends the command."""
    typer.confirm(printable(question), abort=True, err=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None, whole: Collection[str] = ()
) -> None:
    """Print a table for people; the columns named in `whole` are broken last where the terminal is narrow."""
    table = Table(title=None if title is None else plain(title), title_justify="left")
    for column in columns:
        table.add_column(plain(column), no_wrap=column in whole)
    for row in rows:
        table.add_row(*map(plain, row))
    Console().print(table)


def moment(seconds: float | None) -> str:
    """A time for people, in the local zone."""
    return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _json(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value
