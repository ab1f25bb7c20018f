"""The options of `verl-spo train`, by where the run is started."""

from pathlib import Path
from typing import Annotated

import typer

_ELSEWHERE, _SLURM, _CONTAINERS = "Elsewhere", "Elsewhere: SLURM", "Elsewhere: Kubernetes and SkyPilot"

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a YAML file.")]
Progress = Annotated[bool, typer.Option(help="A progress bar; verl's own output goes to train.log.")]
Check = Annotated[bool, typer.Option("--check", help="Check everything and stop.")]
Print = Annotated[
    bool, typer.Option("--print", help="Show verl's plain command, or the script or manifest, and start nothing.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Doctor, plan, the configuration, and what --print shows.")]

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="As a job of a Ray cluster, http://HOST:8265, followed to its end.",
        rich_help_panel=_ELSEWHERE,
    ),
]
Slurm = Annotated[bool, typer.Option("--slurm", help="As a job of SLURM.", rich_help_panel=_ELSEWHERE)]
SkyPilot = Annotated[bool, typer.Option("--skypilot", help="Print a task of SkyPilot's.", rich_help_panel=_ELSEWHERE)]
Kubernetes = Annotated[
    bool, typer.Option("--k8s", help="Print a RayJob for Kubernetes with KubeRay.", rich_help_panel=_ELSEWHERE)
]
Variables = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME",
        help="An environment variable that the run needs there, besides the database's. May be repeated.",
        rich_help_panel=_ELSEWHERE,
    ),
]
WorkingDir = Annotated[
    Path | None,
    typer.Option(
        "--working-dir",
        metavar="FOLDER",
        help="With --ray: a folder that the job takes along, with the recipe in it.",
        exists=True,
        file_okay=False,
        rich_help_panel=_ELSEWHERE,
    ),
]
Template = Annotated[
    Path | None,
    typer.Option(
        "--template",
        metavar="FILE",
        help="A Jinja template of your own for --slurm, --k8s or --skypilot.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_ELSEWHERE,
    ),
]

Partition = Annotated[str | None, typer.Option("--partition", help="sbatch's.", rich_help_panel=_SLURM)]
Time = Annotated[str | None, typer.Option("--time", help="sbatch's.", rich_help_panel=_SLURM)]
Account = Annotated[str | None, typer.Option("--account", help="sbatch's.", rich_help_panel=_SLURM)]
Nodes = Annotated[
    str | None,
    typer.Option("--nodes", help="sbatch's; by default as many as the recipe fills.", rich_help_panel=_SLURM),
]
GpusPerNode = Annotated[
    str | None,
    typer.Option("--gpus-per-node", help="sbatch's; by default as many as the recipe wants.", rich_help_panel=_SLURM),
]
Sbatch = Annotated[
    list[str] | None,
    typer.Option(
        "--sbatch",
        metavar="NAME[=VALUE]",
        help="Any other option of sbatch, such as qos=high or exclusive. May be repeated.",
        rich_help_panel=_SLURM,
    ),
]

Image = Annotated[str | None, typer.Option("--image", help="Container image.", rich_help_panel=_CONTAINERS)]
Volumes = Annotated[
    list[str] | None,
    typer.Option(
        "--volume",
        metavar="SOURCE:PATH",
        help="A claim (--k8s) or a bucket (--skypilot), and its path on every node. May be repeated.",
        rich_help_panel=_CONTAINERS,
    ),
]
Accelerator = Annotated[
    str | None,
    typer.Option("--accelerator", help="With --skypilot: its name there, such as H100.", rich_help_panel=_CONTAINERS),
]
