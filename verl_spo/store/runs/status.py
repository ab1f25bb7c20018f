"""What a run is doing, or how it ended."""

from enum import StrEnum


class Status(StrEnum):
    """Of a run, as the column `runs.status` has it; all but LOST, which only readers see."""

    STARTING = "starting"
    """In the column, of a run that no trainer has held yet; readers see it of every run that is being started."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    IMPORTED = "imported"
    IMPORTING = "importing"
    DELETING = "deleting"
    LOST = "lost"
    """It says that it runs, but has given no sign of life for longer than a lease."""


HELD = {Status.RUNNING: "writes", Status.IMPORTING: "imports", Status.DELETING: "deletes"}
"""Statuses in which a process holds a run, and what it does to it."""
