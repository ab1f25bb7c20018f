"""`verl-spo train` on other machines: which target the options mean, and what becomes of a recipe there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from verl_spo.errors import ConfigError

if TYPE_CHECKING:
    from verl_spo.launching.targets.target import Target


@dataclass(frozen=True)
class Containers:
    """What Kubernetes and SkyPilot want to know beside the recipe."""

    image: str | None
    volumes: Sequence[str]
    accelerator: str | None


def slurm_options(named: Mapping[str, str | None], others: Sequence[str]) -> dict[str, str]:
    """Options of sbatch by name: those with an option of our own, and NAME or NAME=VALUE."""
    pairs = (other.removeprefix("--").partition("=") for other in others)
    given = {name: value for name, value in named.items() if value is not None}
    return {**given, **{name: value for name, _, value in pairs}}


def target(
    ray: str | None,
    slurm: bool,
    skypilot: bool,
    k8s: bool,
    template: Path | None,
    working_dir: Path | None,
    sbatch: Mapping[str, str],
    containers: Containers,
) -> "Target | None":
    """Where the options start a run; None is here.

    Raises:
        ConfigError: They name two places, or belong to one that they do not name.
    """
    from verl_spo.launching.targets import volumes
    from verl_spo.launching.targets.kubernetes import RayJobManifest
    from verl_spo.launching.targets.ray_jobs import RayJobs
    from verl_spo.launching.targets.skypilot import SkyPilotTask
    from verl_spo.launching.targets.slurm import Slurm

    _check_together(
        {"--ray": ray is not None, "--slurm": slurm, "--skypilot": skypilot, "--k8s": k8s},
        {
            "--working-dir": (working_dir is not None, ("--ray",)),
            "--template": (template is not None, ("--slurm", "--skypilot", "--k8s")),
            "--sbatch and options of sbatch": (bool(sbatch), ("--slurm",)),
            "--image": (containers.image is not None, ("--skypilot", "--k8s")),
            "--volume": (bool(containers.volumes), ("--skypilot", "--k8s")),
            "--accelerator": (containers.accelerator is not None, ("--skypilot",)),
        },
    )
    if ray is not None:
        return RayJobs(ray, working_dir)
    if slurm:
        return Slurm(sbatch, template)
    storage = tuple(map(volumes.parse, containers.volumes))
    if skypilot:
        return SkyPilotTask(containers.accelerator, containers.image, storage, template)
    return RayJobManifest(containers.image, storage, template) if k8s else None


def shown(place: "Target | None", name: str, overrides: Sequence[str], variables: Sequence[str]) -> str:
    """What would be started, as a script, a manifest or a command; neither files nor the database are looked at."""
    from verl_spo.launching import commands, compose, launch
    from verl_spo.launching.targets import job

    if place is None:
        return commands.verl_command(launch.build(name, overrides, compose.load(name, overrides)))
    return place.show(job.of(name, overrides, variables))


def submit(place: "Target", name: str, overrides: Sequence[str], variables: Sequence[str]) -> int:
    """Start a recipe there, after the checks that can be made here; returns an exit status."""
    from verl_spo.launching import launch
    from verl_spo.launching.targets import job

    made = job.of(name, overrides, variables)
    if place.shares_files:
        launch.prepare(name, made.overrides)
    return place.submit(made)


def check_alone(ways: Mapping[str, bool]) -> None:
    """Refuse to look at a run in two ways at once.

    Raises:
        ConfigError: Two were asked for.
    """
    if len(chosen := [name for name, given in ways.items() if given]) > 1:
        raise ConfigError(f"{' '.join(chosen)}: one at a time")


def _check_together(places: Mapping[str, bool], belonging: Mapping[str, tuple[bool, Sequence[str]]]) -> None:
    chosen = [name for name, given in places.items() if given]
    if len(chosen) > 1:
        raise ConfigError(f"{' '.join(chosen)}: a run starts in one place; leave out all but one")
    for option, (given, owners) in belonging.items():
        if given and not set(owners) & set(chosen):
            raise ConfigError(f"{option}: only with {' or '.join(owners)}")
