"""SkyPilot: a task that runs on whichever cloud has the accelerators, and goes on after a preemption."""

from dataclasses import dataclass
from pathlib import Path

import verl_spo
from verl_spo.errors import ConfigError
from verl_spo.launching.targets.job import Job, check_reachable
from verl_spo.launching.targets.rendering import render
from verl_spo.launching.targets.volumes import Volume

TEMPLATE = "skypilot.yaml.j2"

_RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class SkyPilotTask:
    """Prints what `sky jobs launch` takes.

    Attributes:
        accelerator: SkyPilot's name of it, such as H100; None on the CPU.
        image: Of a container to run in; None: a machine's own system.
        volumes: Buckets, and where every machine sees them.
        template: A task of the user's to fill in; None: verl-spo's.
    """

    accelerator: str | None
    image: str | None = None
    volumes: tuple[Volume, ...] = ()
    template: Path | None = None

    shares_files = False

    def show(self, job: Job) -> str:
        """The task, which names the variables and none of their values.

        Raises:
            ConfigError: The accelerator is missing, or the database, the recipe or the template does not do.
        """
        if job.gpus_per_node and self.accelerator is None:
            raise ConfigError("--skypilot: wants --accelerator, as `sky show-gpus` names it, such as H100")
        check_reachable(job, "--skypilot")
        return render(
            TEMPLATE,
            self.template,
            job=job,
            accelerator=self.accelerator,
            image=self.image,
            command=(job.composed_at(_RECIPE) if job.file else job).command(),
            recipe=job.composed() if job.file else None,
            volumes=self.volumes,
            version=verl_spo.__version__,
        )

    def submit(self, job: Job) -> int:
        """Print it: who launches it has the cloud's rights."""
        print(self.show(job), end="")
        return 0
