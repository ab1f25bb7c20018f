"""`verl-spo`: every command, put together."""

from typing import Annotated

import typer

from verl_spo import __version__
from verl_spo.cli import data, db, evaluations, prompts, runs, simulate
from verl_spo.cli.app import App
from verl_spo.cli.dashboard import dashboard
from verl_spo.cli.demo import demo
from verl_spo.cli.doctor import doctor
from verl_spo.cli.evaluate import evaluate
from verl_spo.cli.init_values import init_values
from verl_spo.cli.judging import score
from verl_spo.cli.plan import plan
from verl_spo.cli.report import report
from verl_spo.cli.train import list_recipes, train
from verl_spo.cli.transfer import export, import_
from verl_spo.cli.watch import watch

HYDRA_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}

app = App(no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"verl-spo {__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Single-stream Policy Optimization (SPO) for verl."""


app.command(context_settings=HYDRA_ARGUMENTS)(demo)
app.command(context_settings=HYDRA_ARGUMENTS)(train)
app.command(context_settings=HYDRA_ARGUMENTS)(init_values)
app.command(context_settings=HYDRA_ARGUMENTS)(plan)
app.command(context_settings=HYDRA_ARGUMENTS)(evaluate)
app.command()(score)
app.command()(report)
app.command("recipes")(list_recipes)
app.command()(dashboard)
app.command()(watch)
app.command(context_settings=HYDRA_ARGUMENTS)(doctor)
app.add_typer(runs.app, name="runs")
app.add_typer(prompts.app, name="prompts")
app.add_typer(evaluations.app, name="evaluations")
app.command()(export)
app.command("import")(import_)
app.add_typer(db.app, name="db")
app.add_typer(data.app, name="data")
app.add_typer(simulate.app, name="simulate")
