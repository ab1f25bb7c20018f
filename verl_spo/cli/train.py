"""`verl-spo train`: start a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from verl_spo.cli.progress import follow
from verl_spo.cli.terminal import say
from verl_spo.training import launch, preflight, recipe


def train(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a YAML file.")],
    progress: Annotated[bool, typer.Option(help="A progress bar; verl's own output goes to train.log.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check everything and stop.")] = False,
) -> None:
    """Train a recipe with verl; every further argument is a Hydra override, such as spo.retention=drift."""
    prepared = launch.prepare(name, context.args)
    if check:
        say(f"{name}: every check passed")
        return
    raise typer.Exit(with_progress(prepared) if progress else prepared.run())


def recipes() -> None:
    """List the recipes that ship with verl-spo."""
    for name in recipe.names():
        print(name)


def with_progress(prepared: launch.Launch) -> int:
    """Train behind a progress bar that follows the store; verl's own output goes to a file."""
    folder = Path(prepared.config.trainer.default_local_dir)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "train.log"
    store_url = preflight.spo_config(prepared.config).store.url
    with log.open("ab") as output, follow(store_url, preflight.run_name(prepared.config), prepared.total_steps):
        status = prepared.run(output)
    if status:
        say(f"training ended with status {status}; verl's output: {log}", error=True)
    return status
