"""How every command fails: what verl-spo raises on purpose is one line on stderr and exit status 2, not a traceback."""

from typing import Any

import typer
from rich.console import Console

from verl_spo.cli.terminal import say
from verl_spo.errors import SPOError

FAILED = 2


class App(typer.Typer):
    """A typer application that reports `SPOError` as a message."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except SPOError as error:
            Console(stderr=True).print(f"[bold red]{type(error).__name__}[/]", end=" ")
            say(str(error), error=True)
            raise SystemExit(FAILED) from error
