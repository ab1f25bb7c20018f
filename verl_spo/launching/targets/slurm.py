"""SLURM: a batch script that starts Ray on every node, trains, and goes on by itself after preemption or its limit."""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from verl_spo.errors import ConfigError
from verl_spo.launching.targets.job import Job
from verl_spo.launching.targets.rendering import render

TEMPLATE = "slurm.sh.j2"

WARNING_S = 300
"""Seconds before its limit that a job is told: they must hold a step and a checkpoint."""

_DEFAULTS = {
    "ntasks-per-node": "1",
    "signal": f"B:USR1@{WARNING_S}",
    "requeue": "",
    "open-mode": "append",
    "output": "%x-%j.log",
}


@dataclass(frozen=True)
class Slurm:
    """Submits to SLURM.

    Attributes:
        options: Of sbatch, by their long names without hyphens in front; a switch has an empty value.
        template: A script of the user's to fill in; None: verl-spo's.
        python: The interpreter of the nodes, beside which `ray` lies: this machine's, on a file system that they share.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    template: Path | None = None
    python: str = sys.executable

    shares_files = True

    def show(self, job: Job) -> str:
        """The batch script.

        Raises:
            ConfigError: An option or the template does not hold.
        """
        if (mode := job.config.trainer.resume_mode) != "auto":
            raise ConfigError(
                f"trainer.resume_mode={mode}: a job that SLURM starts again would not go on where it stood; set auto "
                "(to begin from another run's checkpoint, spo.branch_from)"
            )
        options = _directives(job, self.options)
        if job.file:
            job = job.found_at(str(job.file.resolve()))
        return render(
            TEMPLATE,
            self.template,
            run=job.run,
            headers=list(_headers(options)),
            folder=str(Path(self.python).parent),
            command=job.command(program=(self.python, "-m", "verl_spo", "train")),
            warning_s=WARNING_S,
        )

    def submit(self, job: Job) -> int:
        """Hand the script to sbatch, which inherits this environment; returns its exit status.

        Raises:
            ConfigError: There is no sbatch on this machine, or a variable of the job's is not set.
        """
        script = self.show(job)
        job.environment()
        try:
            return subprocess.run(["sbatch"], input=script, text=True, check=False).returncode
        except FileNotFoundError as error:
            raise ConfigError(
                "--slurm: there is no sbatch on this machine; call it on a login node, or see the script with --print"
            ) from error


def _directives(job: Job, given: Mapping[str, str]) -> dict[str, str]:
    """Every option of sbatch. How many nodes and accelerators follows from the recipe, unless the user knows better."""
    sizes = {"nodes": str(job.nodes), **({"gpus-per-node": str(job.gpus_per_node)} if job.gpus_per_node else {})}
    options = {"job-name": job.name, **sizes, **_DEFAULTS, **given}
    for name, value in options.items():
        if not name.replace("-", "").isalnum() or "\n" in value:
            raise ConfigError(f"--sbatch {name}={value}: must be the long name of an option of sbatch, and one line")
    _check_size(job, options)
    return options


def _check_size(job: Job, options: Mapping[str, str]) -> None:
    """Refuse fewer accelerators than the recipe trains on, where both numbers are plain."""
    nodes, per_node = options["nodes"], options.get("gpus-per-node", "").rpartition(":")[2]
    if not nodes.isdigit() or not per_node.isdigit():
        return
    needed = job.nodes * job.gpus_per_node
    if int(nodes) * int(per_node) < needed:
        raise ConfigError(
            f"--nodes {nodes} --gpus-per-node {per_node}: the recipe wants {job.nodes} nodes of {job.gpus_per_node} "
            "accelerators (trainer.nnodes, trainer.n_gpus_per_node, and actor_rollout_ref.rollout's where it generates "
            "on machines of its own); set the recipe's options too"
        )


def _headers(options: Mapping[str, str]) -> Iterator[str]:
    """The lines that sbatch reads, which takes quotes as a shell does."""
    for name, value in options.items():
        yield f"#SBATCH --{name}={shlex.quote(value)}" if value else f"#SBATCH --{name}"
