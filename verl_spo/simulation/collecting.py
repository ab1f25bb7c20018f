"""Ways to collect a batch, played through event by event: who waits for whom, what is thrown away, what gets old.

A unit is what counts as arrived at once: a group of sessions, or a single one. A step starts units until enough are
open, takes the first that a batch needs, and trains on them; ways differ in how many are open, and in what becomes of
those that are not taken.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import simpy

from verl_spo.simulation.sessions import Sessions

# A share such as 0.1 is no binary number: 10 * (1 + 0.1) units are 11.
_ROUNDING = 1e-9

Events = Generator[simpy.Event, Any, None]


class Rest(StrEnum):
    """What becomes of the units that a batch did not wait for."""

    NONE = "wait for all"
    """No more are started than the batch needs."""
    ABORTED = "first, rest aborted"
    """Ended, and their work is wasted."""
    KEPT = "first, rest kept"
    """They end with the weights that they began with, and belong to a later batch."""
    PARTIAL = "first, rest continued"
    """They go on with the new weights: a later batch has trajectories of several policies."""
    CONTINUOUS = "continuous"
    """Likewise, and the trainer's update stops nobody: verl's fully asynchronous trainer."""


@dataclass(frozen=True)
class Way:
    """A way to collect: in groups or single-stream, and what becomes of the rest."""

    grouped: bool
    rest: Rest

    def __str__(self) -> str:
        return f"{'groups' if self.grouped else 'single-stream'}, {self.rest}"


WAYS = tuple(Way(grouped, rest) for grouped in (True, False) for rest in Rest)
GROUPS = Way(grouped=True, rest=Rest.NONE)


@dataclass(frozen=True)
class Setting:
    """What all ways share.

    Attributes:
        batch: Trajectories that one update takes, a multiple of `group`.
        group: Trajectories of one group.
        slots: Sessions that run at a time; the others wait in order of their start.
        over: Share of a batch that is started beyond it, where not all is waited for.
        staleness: The same where collection is continuous; verl's `async_training.staleness_threshold`.
        update: Seconds of an update, weight sync included. Nothing is generated meanwhile but in continuous collection.
    """

    batch: int
    group: int
    slots: int
    over: float = 1.0
    staleness: float = 1.0
    update: float = 0.0

    def units(self, way: Way) -> int:
        """Units of a batch."""
        return self.batch // self.group if way.grouped else self.batch

    def open(self, way: Way) -> int:
        """Units that are open at once: started, and not yet trained on."""
        share = {Rest.NONE: 0.0, Rest.CONTINUOUS: self.staleness}.get(way.rest, self.over)
        return int(self.units(way) * (1 + share) + _ROUNDING)

    def sessions(self, way: Way) -> int:
        """Sessions that are open at once."""
        return self.open(way) * self.batch // self.units(way)


@dataclass
class Account:
    """What happened from one update to the next.

    Attributes:
        seconds: That it took.
        started: Attempts that began; each of them is trained on, wasted or failed sooner or later.
        trained: Trajectories that were trained on.
        wasted: Attempts that were aborted, or not used.
        failed: Attempts that failed.
        cut: Trajectories trained on that had been cut off at the limit.
        busy: Slot-seconds in which something ran, whatever became of it.
        drawn: Slot-seconds that all that started takes if nothing fails or is aborted.
        trained_work: Slot-seconds of what was trained on.
        wasted_work: Slot-seconds of what was wasted.
        failed_work: Slot-seconds of what failed.
        old_work: Slot-seconds trained on that older weights generated than those that are updated.
        staleness: For each trajectory trained on, the updates between its oldest token and its own.
    """

    seconds: float = 0.0
    started: int = 0
    trained: int = 0
    wasted: int = 0
    failed: int = 0
    cut: int = 0
    busy: float = 0.0
    drawn: float = 0.0
    trained_work: float = 0.0
    wasted_work: float = 0.0
    failed_work: float = 0.0
    old_work: float = 0.0
    staleness: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Trajectory:
    """A session that ended well, with the number of updates before its start."""

    version: int
    start: float
    end: float
    cut: bool


@dataclass(eq=False)
class _Unit:
    """A group of sessions, or a single one."""

    unended: int
    trajectories: list[_Trajectory] = field(default_factory=list)
    processes: list[simpy.Process] = field(default_factory=list)


class Collection:
    """One run of collecting and training."""

    def __init__(self, way: Way, setting: Setting, sessions: Sessions, rng: np.random.Generator) -> None:
        self._way, self._setting, self._sessions, self._rng = way, setting, sessions, rng
        self._world = simpy.Environment()
        self._slots = simpy.Resource(self._world, setting.slots)
        self._ready = simpy.Store(self._world)
        self._open: dict[_Unit, None] = {}
        # When each attempt that runs began.
        self._running: list[float] = []
        self._counted_until = 0.0
        self._version, self._version_since = 0, 0.0
        self._account = Account()

    @property
    def unended(self) -> list[float]:
        """Slot-seconds of each attempt that runs, until now."""
        return [self._world.now - start for start in self._running]

    @property
    def untrained(self) -> list[float]:
        """Slot-seconds of each attempt that ended well and has not been trained on."""
        return [each.end - each.start for unit in self._open for each in unit.trajectories]

    def run(self, batches: int) -> list[Account]:
        """So many batches from the beginning, one account each."""
        accounts: list[Account] = []
        self._world.run(self._world.process(self._train(batches, accounts)))
        return accounts

    def _train(self, batches: int, accounts: list[Account]) -> Events:
        """The trainer."""
        # Where an update stops all else, no event falls into it: it adds to the time, and the others' clock stands.
        update, overlaps = self._setting.update, self._way.rest is Rest.CONTINUOUS
        for _ in range(batches):
            began = self._world.now
            self._fill()
            for _ in range(self._setting.units(self._way)):
                self._take((yield self._ready.get()))
            if self._way.rest is Rest.ABORTED:
                yield self._abort()
            if overlaps:
                yield self._world.timeout(update)
            self._version, self._version_since = self._version + 1, self._world.now
            self._count()
            self._account.seconds = self._world.now - began + (0 if overlaps else update)
            accounts.append(self._account)
            self._account = Account()

    def _fill(self) -> None:
        """Start units until as many are open as may be."""
        while len(self._open) < self._setting.open(self._way):
            unit = _Unit(self._setting.group if self._way.grouped else 1)
            self._open[unit] = None
            unit.processes = [self._world.process(self._session(unit)) for _ in range(unit.unended)]

    def _session(self, unit: _Unit) -> Events:
        """A session: wait for a slot, and try until it ends."""
        try:
            with self._slots.request() as slot:
                yield slot
                while not (yield from self._attempt(unit)) and self._sessions.retried:
                    pass
        except simpy.Interrupt:
            return
        unit.unended -= 1
        if not unit.unended:
            self._ready.put(unit)

    def _attempt(self, unit: _Unit) -> Generator[simpy.Event, Any, bool]:
        """One attempt at a session; whether it ended well."""
        life = self._sessions.attempt(self._rng)
        start, version = self._world.now, self._version
        self._account.started += 1
        self._account.drawn += life.whole
        self._count()
        self._running.append(start)
        try:
            yield self._world.timeout(life.seconds)
        except simpy.Interrupt:
            self._waste(self._world.now - start)
            raise
        finally:
            self._count()
            self._running.remove(start)
        if life.fails:
            self._account.failed += 1
            self._account.failed_work += life.seconds
        else:
            unit.trajectories.append(_Trajectory(version, start, self._world.now, life.cut))
        return not life.fails

    def _take(self, unit: _Unit) -> None:
        """Train on a unit."""
        del self._open[unit]
        account = self._account
        for each in unit.trajectories:
            account.trained += 1
            account.cut += each.cut
            account.trained_work += each.end - each.start
            account.old_work += self._old(each)
            account.staleness.append(self._version - each.version)

    def _old(self, trajectory: _Trajectory) -> float:
        """Seconds of a trajectory that other weights generated than the present ones."""
        if trajectory.version == self._version:
            return 0.0
        kept = self._way.rest is Rest.KEPT
        return (trajectory.end if kept else min(trajectory.end, self._version_since)) - trajectory.start

    def _abort(self) -> simpy.Event:
        """End all that is open, and forget what of it has ended; comes to pass with the event that is returned."""
        for unit in self._open:
            for process in unit.processes:
                if process.is_alive:
                    process.interrupt()
            for each in unit.trajectories:
                self._waste(each.end - each.start)
        self._open.clear()
        self._ready.items.clear()
        return self._world.timeout(0)

    def _waste(self, work: float) -> None:
        """Book an attempt whose work nobody uses."""
        self._account.wasted += 1
        self._account.wasted_work += work

    def _count(self) -> None:
        """Book the time of the slots that are taken, until now."""
        self._account.busy += len(self._running) * (self._world.now - self._counted_until)
        self._counted_until = self._world.now
