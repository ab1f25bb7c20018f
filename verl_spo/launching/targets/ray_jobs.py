"""A Ray cluster that is there: the run becomes a Ray job, followed from here."""

import json
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_spo.errors import ConfigError, LaunchError
from verl_spo.launching.targets.following import Following
from verl_spo.launching.targets.job import Job, check_reachable

STOP_WAIT_S = 3600
"""How long a job that is stopped may take to end its step and to save; Ray's own 3 s would lose both."""

RECIPE = "recipe.yaml"

_SERVER = "RAY_API_SERVER_ADDRESS"
_ENVIRONMENT = {
    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
    # What verl and the recipe say of a variable goes before what the job says; Ray otherwise refuses both.
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
}


@dataclass(frozen=True)
class RayJobs:
    """Submits to a Ray cluster.

    Attributes:
        address: Of its job server, http://HOST:8265; or of a cluster that this machine belongs to, HOST:PORT or auto.
        working_dir: A folder to take along, with the recipe in it; None: of a recipe that is a file, what it is
            composed to is taken along.
    """

    address: str
    working_dir: Path | None = None

    shares_files = False

    def show(self, job: Job) -> str:
        """The command that submits such a job by hand; the variables' values are the shell's.

        Raises:
            ConfigError: The recipe lies outside the working directory.
        """
        taken = self.working_dir or (f"FOLDER_OF_{RECIPE}" if job.file else None)
        words = ["ray", "job", "submit", "--address", self.address, "--runtime-env", "/dev/stdin"]
        words += ["--working-dir", str(taken)] if taken else []
        # A here-document: values that a shell puts into arguments are seen by everybody.
        variables = {**_ENVIRONMENT, **{name: f"${name}" for name in job.variables}}
        lines = [f"  {name}: {json.dumps(value)}" for name, value in variables.items()]
        return "\n".join([f"{shlex.join(words)} -- {self._entry_point(job)} <<END", "env_vars:", *lines, "END", ""])

    def submit(self, job: Job) -> int:
        """Submit, show the job's output, wait for its end; returns its exit status, as of a run here.

        Raises:
            ConfigError: A variable is not set, or the address or the working directory does not do.
            LaunchError: The job server does not answer, or does not take the job.
        """
        check_reachable(job, f"--ray {self.address}")
        runtime_env: dict[str, Any] = {"env_vars": {**_ENVIRONMENT, **job.environment()}}
        with self._taken_along(job) as folder, _answering(self.address):
            client = connect(self.address)
            if folder:
                runtime_env["working_dir"] = str(folder)
            submitted = client.submit_job(entrypoint=self._entry_point(job), runtime_env=runtime_env)
        print(f"Ray job:   {submitted}, at {self.address}", flush=True)
        return Following(client, submitted).to_the_end()

    def _entry_point(self, job: Job) -> str:
        """A shell that stays would get Ray's signals too, and end before the run."""
        return f"exec {self._there(job).command()}"

    def _there(self, job: Job) -> Job:
        if not job.file:
            return job
        if not self.working_dir:
            return job.composed_at(RECIPE)
        try:
            return job.found_at(str(job.file.resolve().relative_to(self.working_dir.resolve())))
        except ValueError:
            raise ConfigError(
                f"recipe {job.recipe!r}: lies outside --working-dir {self.working_dir}, so that the cluster would not "
                "have it; name a folder that holds it"
            ) from None

    @contextmanager
    def _taken_along(self, job: Job) -> Iterator[Path | None]:
        """The folder that Ray uploads."""
        if self.working_dir or not job.file:
            yield self.working_dir
            return
        with tempfile.TemporaryDirectory(prefix="verl-spo-") as folder:
            (Path(folder) / RECIPE).write_text(job.composed())
            yield Path(folder)


def connect(address: str) -> Any:
    """A client of the cluster's job server.

    Raises:
        ConfigError: The address is none of a job server.
    """
    from ray.job_submission import JobSubmissionClient

    if address.startswith("ray://"):
        raise ConfigError(f"--ray {address}: is for Ray Client; give the job server's, such as http://HOST:8265")
    # Ray takes RAY_ADDRESS for better than what it is told, and this variable for better still.
    os.environ[_SERVER] = address
    return JobSubmissionClient(address)


@contextmanager
def _answering(address: str) -> Iterator[None]:
    """Say which server it was that refused."""
    from ray.exceptions import RayError

    try:
        yield
    except (OSError, RuntimeError, RayError) as error:
        raise LaunchError(
            f"--ray {address}: {str(error).rstrip('.')}. The job server listens where Ray's dashboard does "
            "(`ray[default]` on the head node); a cluster with token authentication wants RAY_AUTH_MODE=token and its "
            "token here too"
        ) from error
