"""An alert: what is wrong with a run, since when, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How soon somebody should look."""

    CRITICAL = "critical"
    """The run trains no longer, or what it learns is being lost."""
    WARNING = "warning"
    """The run goes on, but not as it should."""


class AlertName(StrEnum):
    """What is wrong."""

    FAILED = "failed"
    LOST = "lost"
    STALLED = "stalled"
    REWARD_COLLAPSE = "reward-collapse"
    ENTROPY_COLLAPSE = "entropy-collapse"
    FAILING_REQUESTS = "failing-requests"
    WRITER_BEHIND = "writer-behind"
    DISK_NEARLY_FULL = "disk-nearly-full"


@dataclass(frozen=True)
class Alert:
    """Something that is wrong with a run.

    Attributes:
        name: One of each name at most holds at a time.
        severity: How soon somebody should look.
        since_step: The first step of those up to the last one that the alert is about; None before the first step.
        message: One sentence with the figures and the limit. That of FAILED quotes the run's error: hostile text.
        remedy: What to do.
    """

    name: AlertName
    severity: Severity
    since_step: int | None
    message: str
    remedy: str
