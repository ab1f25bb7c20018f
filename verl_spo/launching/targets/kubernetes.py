"""Kubernetes with KubeRay: a manifest of a RayJob, whose secrets are a Secret's."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from verl_spo.errors import ConfigError
from verl_spo.launching.targets.job import Job, check_reachable
from verl_spo.launching.targets.ray_jobs import STOP_WAIT_S
from verl_spo.launching.targets.rendering import render
from verl_spo.launching.targets.volumes import Volume

TEMPLATE = "kuberay.yaml.j2"
SECRET = "verl-spo"  # noqa: S105 (the name of an object)

_RECIPES = "/etc/verl-spo"


@dataclass(frozen=True)
class RayJobManifest:
    """Prints what `kubectl apply -f -` takes.

    Attributes:
        image: Of the containers: with verl-spo, vLLM and Ray.
        volumes: Claims, and where every container sees them.
        template: A manifest of the user's to fill in; None: verl-spo's.
    """

    image: str | None
    volumes: tuple[Volume, ...] = ()
    template: Path | None = None

    shares_files = False

    def show(self, job: Job) -> str:
        """The manifest, which names the variables' Secret and none of their values.

        Raises:
            ConfigError: The image is missing, or the database, the recipe or the template does not do.
        """
        if self.image is None:
            raise ConfigError("--k8s: wants --image, the name of an image with verl-spo, vLLM and Ray")
        check_reachable(job, "--k8s")
        place = f"{_RECIPES}/recipe.yaml"
        return render(
            TEMPLATE,
            self.template,
            job=job,
            image=self.image,
            command=(job.composed_at(place) if job.file else job).command(),
            recipe=job.composed() if job.file else None,
            recipes=_RECIPES,
            volumes=self.volumes,
            secret=SECRET,
            ray_version=importlib.metadata.version("ray"),
            stop_wait_s=STOP_WAIT_S,
        )

    def submit(self, job: Job) -> int:
        """Print it: who applies it has the cluster's rights."""
        print(self.show(job), end="")
        return 0
