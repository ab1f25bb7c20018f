"""`verl-spo dashboard`: the pages, in a browser."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from verl_spo.cli.database import DEFAULT_DB, Db
from verl_spo.cli.extras import require
from verl_spo.cli.terminal import plain
from verl_spo.cli.watch import Rules
from verl_spo.store.database.urls import mask
from verl_spo.watching import VARIABLE, AlertRules
from verl_spo_dashboard import auth
from verl_spo_dashboard.server import DEFAULT_HOST, DEFAULT_PORT, serve


def dashboard(
    db: Db = DEFAULT_DB,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help=f"Port; 0: any free one; by default the first free one from {DEFAULT_PORT}."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets every machine read.")] = DEFAULT_HOST,
    rule: Rules = None,
    login: Annotated[
        Path | None,
        typer.Option(
            "--auth",
            metavar="FILE",
            show_default=False,
            help="Show nothing before a login by OpenID Connect: a TOML file with a section auth, as Streamlit's.",
        ),
    ] = None,
) -> None:
    """Serve the pages of a database until Ctrl-C; they need not be started anew for another run."""
    require("dashboard-auth" if login else "dashboard")
    AlertRules.parse(rule or ())
    # The server's process inherits it.
    os.environ[VARIABLE] = " ".join(rule or ())
    rules = auth.read(login) if login else None
    signal.signal(signal.SIGTERM, _end)
    console = Console(highlight=False)
    try:
        with serve(db, host, port, rules) as server:
            address = Text(server.address, "bold")
            console.print(
                plain(f"Dashboard of {mask(db)}: "), address, plain("  (Ctrl-C ends it)"), soft_wrap=True, sep=""
            )
            status = server.wait()
    except KeyboardInterrupt:
        status = 0
    raise typer.Exit(status)


def _end(number: int, frame: object) -> None:
    """Leave through the `with` blocks, so that the server goes too."""
    sys.exit(128 + number)
