"""What the list of runs shows of each, read again only of those that went on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from verl_spo.evaluation import judges
from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow, SketchPoint
from verl_spo.store.runs.status import Status
from verl_spo_dashboard.series import spread_steps
from verl_spo_dashboard.wording import duration, number

VALIDATION = "val-core/"
"""Prefix of verl's names of validation metrics."""

SKETCH_POINTS = 40
_INTERVALS = 5
"""Of the sketch, at its end, whose median is the present speed."""

_SCORES_S = 30
"""Seconds until verdicts are read again."""

_MEAN = "/mean@"
_BENCHMARKS = 2


@dataclass(frozen=True)
class Overview:
    """A run in the list.

    Attributes:
        points: Steps from the whole run, the last one at the end.
        total: The step at which it is to end; None where its configuration does not say.
        best: The largest value of each metric of validation.
        scores: The best avg@k on each benchmark that `verl-spo evaluate` has sampled.
    """

    run: RunRow
    points: Sequence[SketchPoint]
    total: int | None
    best: Mapping[str, float]
    scores: Mapping[str, float]

    @property
    def rewards(self) -> list[float]:
        """Mean rewards of the sketched steps, in [0, 1]."""
        return [point.reward for point in self.points if point.reward is not None]

    @property
    def share(self) -> float | None:
        """How much of the run is done, in [0, 1]."""
        return min(1.0, self.run.last_step / self.total) if self.total else None

    @property
    def seconds_per_step(self) -> float | None:
        """At present, of a run that trains; None of others, and before there are two steps of the attempt."""
        points = [point for point in self.points if point.attempt == self.run.attempt][-_INTERVALS - 1 :]
        if self.run.status != Status.RUNNING or len(points) < 2:
            return None
        steps, times = [point.step for point in points], [point.time for point in points]
        return float(np.median(np.diff(times) / np.diff(steps)))

    @property
    def steps_per_hour(self) -> float | None:
        """At present, of a run that trains."""
        seconds = self.seconds_per_step
        return 3600 / seconds if seconds else None

    @property
    def left(self) -> str:
        """Time until the last step at the present speed; nothing where nobody knows."""
        seconds = self.seconds_per_step
        if seconds is None or self.total is None:
            return ""
        return duration(max(0, self.total - self.run.last_step) * seconds)

    @property
    def benchmarks(self) -> str:
        """The best values in words: of benchmarks first, then of validation, those of avg@k where verl logs them."""
        names = [name for name in self.best if _MEAN in name] or list(self.best)
        found = {**self.scores, **{_short(name): self.best[name] for name in names}}
        return " · ".join(f"{number(value)} {name}" for name, value in list(found.items())[:_BENCHMARKS])


class Overviews:
    """The list as one browser tab has read it."""

    def __init__(self) -> None:
        self._known: dict[int, Overview] = {}

    def of(self, database: Reader, runs: Sequence[RunRow]) -> list[Overview]:
        """The runs' overviews, in their order. One query each for all that have changed."""
        changed = [run for run in runs if _key(run) != _key(known.run if (known := self._known.get(run.id)) else None)]
        ids = [run.id for run in changed]
        if changed:
            spread = {run.id: spread_steps(run.begins_after, run.last_step, SKETCH_POINTS) for run in changed}
            points, totals = queries.sketches(database, spread), queries.total_steps(database, ids)
            best = queries.best_values(database, ids, VALIDATION)
            for run in changed:
                self._known[run.id] = Overview(run, points[run.id], totals.get(run.id), best.get(run.id, {}), {})
        # These come without a sign of the run's, after it has ended too.
        scores = _scores(database, str(database), [(run.id, run.uid) for run in runs])
        self._known = {run.id: self._with(run, scores.get(run.id, {})) for run in runs}
        return list(self._known.values())

    def _with(self, run: RunRow, scores: Mapping[str, float]) -> Overview:
        """What is known of a run, with its present status, tags and signs of life, and its scores."""
        return replace(self._known[run.id], run=run, scores=scores)


@st.cache_data(ttl=_SCORES_S, max_entries=16, show_spinner=False)
def _scores(_database: Reader, name: str, runs: Sequence[tuple[int, str]]) -> dict[int, dict[str, float]]:
    """Scores of runs by their ids, for all who look at the list of a database: every verdict is read for them."""
    return queries.best_scores(_database, [number for number, _ in runs], judges.BY_DEFAULT)


def _key(run: RunRow | None) -> tuple[object, ...] | None:
    """What tells that there may be something new in a run."""
    return None if run is None else (run.uid, run.attempt, run.last_step, run.ended_at)


def _short(name: str) -> str:
    """`aime_2024 mean@32` for `val-core/aime_2024/acc/mean@32`."""
    source, _, figure = name.removeprefix(VALIDATION).partition("/")
    return f"{source} {figure.rpartition('/')[2]}".strip()
