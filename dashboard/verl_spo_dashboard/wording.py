"""How pages write numbers, durations and times."""

import math
import time
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import streamlit as st

from verl_spo.store.queries import RunRow
from verl_spo.store.runs.status import Status

NOTHING = "–"


def duration(seconds: float) -> str:
    """Such as `4 s`, `12 min 5 s`, `3 h 4 min`, `2 d 7 h`: the two largest units."""
    seconds = max(0, round(seconds))
    units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]
    parts: list[tuple[int, str]] = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count or parts or name == "s":
            parts.append((count, name))
    return " ".join(f"{count} {name}" for count, name in parts[:2] if count or name == parts[0][1])


def running_time(run: RunRow, now: float | None = None) -> str:
    """From a run's start to its end: now for one that runs, its last sign of life for one that is lost."""
    present = time.time() if now is None else now
    end = run.ended_at or (run.heartbeat_at if run.status == Status.LOST else present)
    return duration(end - run.created_at)


def branched_from(run: RunRow) -> str:
    """The run and the step that a run began from; nothing for one that began by itself."""
    return f"{run.parent_name}, step {run.parent_step:,}" if run.parent_name else ""


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits after the point; a dash for none."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def counted(count: int, thing: str) -> str:
    """Such as `1 run`, `1,024 prompts`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def local_time(seconds: float) -> datetime:
    """A time since the epoch on the clock of who looks at the page."""
    return datetime.fromtimestamp(seconds, _zone())


def clock_time(seconds: float | None = None) -> str:
    """The time of day, now if none is given."""
    return local_time(time.time() if seconds is None else seconds).strftime("%H:%M:%S")


def _zone() -> ZoneInfo | None:
    name = st.context.timezone
    return ZoneInfo(name) if name in _zones() else None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
