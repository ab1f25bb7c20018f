"""What all targets can do."""

from typing import Protocol

from verl_spo.launching.targets.job import Job


class Target(Protocol):
    """A place to start runs."""

    @property
    def shares_files(self) -> bool:
        """Whether its machines see the files of this one, so that they can be checked here."""

    def show(self, job: Job) -> str:
        """The script, manifest or command by which a job would be started, without secrets."""

    def submit(self, job: Job) -> int:
        """Start a job, or print what others start; returns an exit status."""
