"""What the page on difficulty has read of a run: once, then only what is new."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np

from verl_spo.core.difficulty import Difficulty
from verl_spo.store import Reader, queries
from verl_spo.store.queries import Outcomes, RunRow, SummaryRow
from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard import series

FLOW_STEPS = 150
"""Steps of which the classes over time are drawn, at most."""

LATEST_STEPS = 1000
"""Steps that moves between classes are counted over, at most."""

WINDOW_STEPS = 100
"""Steps that draws and calibration are about, at most."""

N_EFF_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)
VISITS_EDGES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, math.inf)

Move = tuple[Difficulty, Difficulty]
"""From a class to another one."""

MOVES: tuple[Move, ...] = tuple(
    sorted(
        permutations([each for each in Difficulty if each != Difficulty.UNVISITED], 2), key=lambda m: abs(m[1] - m[0])
    )
)
"""Between the classes of visited prompts, those to the next class first."""

_BINS = 20


@dataclass
class Read:
    """What was read of one attempt of a run, steps ascending.

    Attributes:
        attempt: The run's attempt by then.
        flow: Steps spread over the whole run.
        latest: Its latest steps, all of them.
        outcomes: Trajectories of the latest of these by v_hat at dispatch; None before the first step.
        at: The step by which the pool was counted.
        n_eff: Prompts between `N_EFF_EDGES`.
        visits: Prompts between `VISITS_EDGES`.
    """

    attempt: int
    flow: list[SummaryRow] = field(default_factory=list)
    latest: list[SummaryRow] = field(default_factory=list)
    outcomes: Outcomes | None = None
    at: int = -1
    n_eff: IntArray = field(default_factory=lambda: np.zeros(len(N_EFF_EDGES) - 1, dtype=np.int64))
    visits: IntArray = field(default_factory=lambda: np.zeros(len(VISITS_EDGES) - 1, dtype=np.int64))

    @property
    def now(self) -> SummaryRow | None:
        """The last step; None before the first."""
        return self.latest[-1] if self.latest else None

    @property
    def by_source(self) -> Mapping[str, Sequence[int]]:
        """Prompts in each class by data source, now; none where the run was written before these were counted."""
        return dict(self.now.details.get("classes", {})) if self.now else {}

    def classes(self) -> tuple[IntArray, IntArray]:
        """Steps (n,) and prompts in each class after them, (n, 4)."""
        rows = [(row.step, list(row.details["classes"].values())) for row in self.flow if row.details.get("classes")]
        steps = np.array([step for step, _ in rows], dtype=np.int64)
        return steps, np.array([np.sum(counts, axis=0) for _, counts in rows], dtype=np.int64).reshape(
            -1, len(Difficulty)
        )

    def pool_meanwhile(self) -> FloatArray:
        """Share of the pool by v_hat, the mean over the steps of `outcomes`, (bins,); empty where there are none."""
        steps = set() if self.outcomes is None else set(self.outcomes.steps.tolist())
        rows = [row.value_histogram for row in self.latest if row.step in steps and row.value_histogram]
        if not rows:
            return np.zeros(0)
        counts: FloatArray = np.sum(rows, axis=0, dtype=np.float64)
        return counts / max(float(counts.sum()), 1.0)

    def moves(self, windows: int) -> tuple[IntArray, IntArray, Mapping[Move, IntArray]]:
        """First and last step of windows of the latest steps, (n,), and how often each move was made in them, (n,).

        A first visit is no move: nothing was known before.
        """
        size = max(1, math.ceil(len(self.latest) / windows))
        parts = [self.latest[start : start + size] for start in range(0, len(self.latest), size)]
        counted = [_moves(part) for part in parts]
        first, last = (np.array([part[end].step for part in parts], dtype=np.int64) for end in (0, -1))
        return first, last, {move: np.array([each[move] for each in counted], dtype=np.int64) for move in MOVES}


class Difficulties:
    """All runs that a page has read."""

    def __init__(self) -> None:
        self._of: dict[int, Read] = {}

    def update(self, database: Reader, run: RunRow) -> Read:
        """Read what is new."""
        read = self._of.get(run.id)
        if read is None or read.attempt != run.attempt:
            read = self._of[run.id] = Read(run.attempt)
        _update_flow(database, run, read)
        after = max(read.latest[-1].step if read.latest else -1, run.last_step - LATEST_STEPS)
        read.latest = (read.latest + queries.step_summaries(database, run.id, after))[-LATEST_STEPS:]
        if read.now is not None and read.now.step > read.at:
            _update_outcomes(database, run, read, read.now.step)
            read.n_eff = queries.pool_histogram(database, run.id, "n_eff", N_EFF_EDGES)
            read.visits = queries.pool_histogram(database, run.id, "visits", VISITS_EDGES)
            read.at = read.now.step
        return read


def _update_flow(database: Reader, run: RunRow, read: Read) -> None:
    stride = series.stride_for(run.last_step - run.begins_after, FLOW_STEPS)
    kept = [row for row in read.flow if row.step % stride == 0]
    read.flow = kept + queries.step_summaries(database, run.id, kept[-1].step if kept else -1, stride=stride)


def _update_outcomes(database: Reader, run: RunRow, read: Read, last: int) -> None:
    known, first = read.outcomes, last - WINDOW_STEPS
    new = queries.outcomes(database, run.id, max(read.at, first), last, _BINS)
    if known is None:
        read.outcomes = new
        return
    kept = known.steps > first
    joined = {
        name: np.concatenate([getattr(known, name)[kept], getattr(new, name)])
        for name in ("steps", "counts", "expected", "rewards")
    }
    read.outcomes = replace(new, **joined, binary=known.binary and new.binary)


def _moves(rows: Sequence[SummaryRow]) -> Counter[Move]:
    made: Counter[Move] = Counter()
    for row in rows:
        for before, after, number in row.details.get("moves", []):
            made[Difficulty(before), Difficulty(after)] += number
    return made
