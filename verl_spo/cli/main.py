"""`verl-spo`: every command, put together."""

from typing import Annotated

import typer

from verl_spo import __version__
from verl_spo.cli.app import App
from verl_spo.cli.lazily import Command, group

COMMANDS = {
    "demo": Command(
        "demo:demo",
        "Train a tiny model with SPO on real verl and real vLLM, and watch it in the browser.",
        overrides=True,
    ),
    "train": Command(
        "train:train",
        "Train a recipe with verl; every further argument is a Hydra override, such as spo.retention=drift.",
        overrides=True,
    ),
    "init-values": Command(
        "init_values:init_values",
        "Have a recipe's initial policy answer every prompt ([SPO] algorithm 2), and write the scores; nothing is "
        "trained.",
        overrides=True,
    ),
    "plan": Command(
        "plan:plan",
        "Estimate memory per GPU and time per step of a recipe; every further argument is a Hydra override.",
        overrides=True,
    ),
    "evaluate": Command(
        "evaluate:evaluate", "Answer benchmarks by verl's own rollout, and keep every sample.", overrides=True
    ),
    "score": Command("score:score", "Judge a run's stored samples by more scorers than the reward of its recipe."),
    "report": Command(
        "report:report",
        "Write avg@k, maj@k and pass@k of a policy with their intervals, from its stored samples.",
    ),
    "recipes": Command("train:list_recipes", "List the recipes that ship with verl-spo."),
    "dashboard": Command(
        "dashboard:dashboard",
        "Serve the pages of a database until Ctrl-C; they need not be started anew for another run.",
    ),
    "watch": Command(
        "watch:watch", "Tell when something is wrong with a run, until it ends; exit status 1 if anything was."
    ),
    "doctor": Command(
        "doctor:doctor",
        "Check versions, verl's plug-in mechanism, the registrations, the platform and the database.",
        overrides=True,
    ),
    "export": Command(
        "transfer:export",
        "Write a run into a folder, a file a kind of row; `verl-spo import` reads it back without loss.",
    ),
    "import": Command(
        "transfer:import_",
        "Make a run from an export, or from a file of scores such as the reference recipe's offline values (JSON).",
    ),
    "runs": Command("runs:app", "List, show, rename, tag and delete runs."),
    "prompts": Command("prompts:app", "Show the hardest, easiest and stalest prompts of a run, and search them."),
    "evaluations": Command("evaluations:app", "List and delete evaluations."),
    "db": Command("db:app", "Upgrade, measure and tidy the database."),
    "data": Command("data:app", "Write prompt sets in verl's format, and the demo's tiny model."),
    "simulate": Command("simulate:app", "Simulate what ways to collect trajectories come to; nothing is trained."),
}

app = App(cls=group(COMMANDS), no_args_is_help=True)


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
