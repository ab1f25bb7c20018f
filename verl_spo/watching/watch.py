"""One run watched from look to look: which alerts begin, and which end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo.store.runs.status import Status
from verl_spo.watching.alert import Alert, AlertName
from verl_spo.watching.look import alerts
from verl_spo.watching.options import AlertRules

_GOES_ON = (Status.STARTING, Status.RUNNING, Status.LOST, Status.IMPORTING)


class Turn(StrEnum):
    """What an alert does."""

    BEGAN = "began"
    ENDED = "ended"


@dataclass(frozen=True)
class Event:
    """An alert of a run began or ended, at a time in seconds since the epoch, when the run had come to a step."""

    turn: Turn
    run: str
    step: int
    time: float
    alert: Alert

    @property
    def text(self) -> str:
        """The event in a line; what it quotes of the run is hostile text."""
        alert = self.alert
        if self.turn == Turn.ENDED:
            return f"{self.run}: {alert.name} ended at step {self.step}"
        since = "" if alert.since_step is None else f" since step {alert.since_step}"
        return f"{self.run}: {alert.severity} {alert.name}{since}: {alert.message} {alert.remedy}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; `text` is what chat programs show of a webhook's message."""
        described = {"event": self.turn, "run": self.run, "step": self.step, "time": self.time}
        return {"text": self.text, **described, "alert": asdict(self.alert)}


class Watch:
    """A run, looked at again and again.

    Attributes:
        raised: Whether any alert has held.
        run: As it was at the last look; None before the first.
    """

    def __init__(self, name: str, rules: AlertRules) -> None:
        self.raised = False
        self.run: RunRow | None = None
        self._name = name
        self._rules = rules
        self._present: Mapping[AlertName, Alert] = {}

    @property
    def over(self) -> bool:
        """Whether the run has ended. One that is lost may come back."""
        return self.run is not None and self.run.status not in _GOES_ON

    def look(self, reader: Reader, now: float) -> list[Event]:
        """What has changed since the last look.

        Raises:
            StoreError: There is no such run, or the database cannot be read.
        """
        detail = queries.run(reader, self._name)
        present = {alert.name: alert for alert in alerts(reader, detail, self._rules, now)}
        ended = [alert for name, alert in self._present.items() if name not in present]
        began = [alert for name, alert in present.items() if name not in self._present]
        self.run, self._present, self.raised = detail.run, present, self.raised or bool(present)
        turns = [*((Turn.ENDED, alert) for alert in ended), *((Turn.BEGAN, alert) for alert in began)]
        return [Event(turn, self._name, detail.run.last_step, now, alert) for turn, alert in turns]
