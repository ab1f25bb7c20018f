"""`verl-spo train`: start a recipe, here or elsewhere."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from verl_spo.cli import elsewhere
from verl_spo.cli import train_options as options
from verl_spo.cli.dry_run import report
from verl_spo.cli.extras import require
from verl_spo.cli.progress import follow
from verl_spo.cli.terminal import say
from verl_spo.launching import recipes

if TYPE_CHECKING:
    from verl_spo.launching.endings import Ended
    from verl_spo.launching.launch import Launch


def train(
    context: typer.Context,
    name: options.Recipe,
    progress: options.Progress = False,
    check: options.Check = False,
    show: options.Print = False,
    dry_run: options.DryRun = False,
    ray: options.Ray = None,
    slurm: options.Slurm = False,
    skypilot: options.SkyPilot = False,
    k8s: options.Kubernetes = False,
    env: options.Variables = None,
    working_dir: options.WorkingDir = None,
    template: options.Template = None,
    partition: options.Partition = None,
    time: options.Time = None,
    account: options.Account = None,
    nodes: options.Nodes = None,
    gpus_per_node: options.GpusPerNode = None,
    sbatch: options.Sbatch = None,
    image: options.Image = None,
    volume: options.Volumes = None,
    accelerator: options.Accelerator = None,
) -> None:
    """Train a recipe with verl; every further argument is a Hydra override, such as spo.retention=drift.

    SIGTERM, SIGHUP and SIGUSR1 end the step, save a checkpoint and stop; a second one, or Ctrl-C, stops at once. Exit
    status: 0 trained to the end, 128 + the signal's number stopped by it, 2 refused by a check, any other failed.
    """
    require("verl")
    slurm_options = elsewhere.slurm_options(
        {"partition": partition, "time": time, "account": account, "nodes": nodes, "gpus-per-node": gpus_per_node},
        sbatch or [],
    )
    containers = elsewhere.Containers(image, volume or [], accelerator)
    target = elsewhere.target(ray, slurm, skypilot, k8s, template, working_dir, slurm_options, containers)
    elsewhere.check_alone({"--print": show, "--dry-run": dry_run, "--check": check})
    if show:
        print(elsewhere.shown(target, name, context.args, env or []), end="")
    elif dry_run:
        good = report(name, context.args, elsewhere.shown(target, name, context.args, env or []))
        raise typer.Exit(0 if good else 1)
    elif check:
        _check(name, context.args)
    elif target:
        raise typer.Exit(elsewhere.submit(target, name, context.args, env or []))
    else:
        raise typer.Exit(_here(name, context.args, progress))


def list_recipes() -> None:
    """List the recipes that ship with verl-spo."""
    for name in recipes.names():
        print(name)


def with_progress(prepared: "Launch") -> "Ended":
    """Train behind a progress bar that follows the store; verl's own output goes only to its log."""
    from verl_spo.training import verl_options

    store_url = verl_options.spo_config(prepared.config).store.url
    with follow(store_url, verl_options.run_name(prepared.config), prepared.total_steps):
        return prepared.run()


def told(ended: "Ended") -> int:
    """Say how a run ended; returns the exit status."""
    for line in ended.message.splitlines():
        say(line, error=True)
    return ended.status


def _check(name: str, overrides: Sequence[str]) -> None:
    from verl_spo.launching import launch

    launch.prepare(name, overrides)
    say(f"{name}: every check passed")


def _here(name: str, overrides: Sequence[str], progress: bool) -> int:
    from verl_spo.launching import commands, launch

    prepared = launch.prepare(name, overrides)
    for line in commands.first_lines(prepared):
        say(line)
    return told(with_progress(prepared) if progress else prepared.run(shown=True))
