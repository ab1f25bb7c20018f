"""What is measured, and its rows: a row a run, in `benchmarks/results/throughput_measured.json`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.learning.report import Estimate
from benchmarks.throughput.report import table
from verl_spo.simulation import collecting as simulation
from verl_spo.simulation.collecting import Rest
from verl_spo.simulation.durations import Lognormal
from verl_spo.simulation.sessions import Sessions
from verl_spo.simulation.throughput import compare

RESULTS = Path(__file__).parents[2] / "results" / "throughput_measured.json"
BATCH, GROUP = 32, 8
MEAN_S, SIGMA = 6.0, 0.8
STEPS = 12
WARM = 3
"""Steps that do not count: asynchronous trainers begin with nothing in flight."""


@dataclass(frozen=True)
class Way:
    """An algorithm, `grpo` or `spo`, in one of verl's trainers."""

    algorithm: str
    mode: str

    @property
    def group(self) -> int:
        """Responses to a prompt."""
        return 1 if self.algorithm == "spo" else GROUP

    @property
    def simulated(self) -> simulation.Way:
        """The same as it is simulated: an update on the rollouts' devices, too, stops no tool."""
        return simulation.Way(grouped=self.group > 1, rest=Rest.NONE if self.mode == "sync" else Rest.CONTINUOUS)

    def __str__(self) -> str:
        return f"{self.algorithm}, {self.mode}"


WAYS = (
    Way("grpo", "sync"),
    Way("grpo", "separate_async"),
    Way("spo", "sync"),
    Way("spo", "colocate_async"),
    Way("spo", "separate_async"),
)


@dataclass(frozen=True)
class Measured:
    """One run; all but `begun` of the steps after the first `WARM`.

    Attributes:
        way: The way's name.
        seed: Of the run.
        seconds: Of wall-clock per step.
        staleness: Policy versions that a trajectory is behind, mean.
        begun: Sessions begun in the whole run, per session trained on.
        tokens: Response tokens that a step trains on.
        reward: Mean.
        update: Seconds of a step in which the trainer does not wait for rollouts.
    """

    way: str
    seed: int
    seconds: float
    staleness: float
    begun: float
    tokens: float
    reward: float
    update: float


def save(measured: Sequence[Measured], path: Path = RESULTS) -> None:
    """Write rows, one a line."""
    path.write_text("[\n" + ",\n".join(json.dumps(asdict(row)) for row in measured) + "\n]\n")


def load(path: Path = RESULTS) -> list[Measured]:
    """Read what `save` wrote; nothing, if nothing has been measured."""
    return [Measured(**row) for row in json.loads(path.read_text())] if path.exists() else []


def report(measured: Sequence[Measured]) -> str:
    """Markdown: a line a way, with how many times it is as fast as GRPO that waits, seed by seed, and as simulated."""
    waiting = {row.seed: row for row in measured if row.way == str(WAYS[0])}
    update = float(np.mean([row.update for row in waiting.values()]))
    lines = []
    for way in WAYS:
        rows = [row for row in measured if row.way == str(way) and row.seed in waiting]
        if rows:
            ratios = [waiting[row.seed].seconds / row.seconds for row in rows]
            lines.append([*_figures(way, rows), _estimate(ratios, 2), _simulated(way, update)])
    head = ["algorithm", "trainer", "seeds", "seconds a step", "staleness", "sessions begun", "tokens a step"]
    return table([*head, "times as fast", "simulated"], lines)


def _figures(way: Way, rows: Sequence[Measured]) -> list[str]:
    return [
        way.algorithm.upper(),
        f"`{way.mode}`",
        str(len(rows)),
        _estimate([row.seconds for row in rows], 1),
        _estimate([row.staleness for row in rows], 2),
        _estimate([row.begun for row in rows], 2),
        _estimate([row.tokens for row in rows], 0),
    ]


def _simulated(way: Way, update: float) -> str:
    """How many times as fast a way is where all that is open has a slot, and an update takes so many seconds."""
    setting = simulation.Setting(BATCH, GROUP, slots=2 * BATCH, update=update)
    (found,) = compare(setting, Sessions(Lognormal(MEAN_S, SIGMA)), batches=100, seeds=10, ways=[way.simulated])
    return f"{found.ratio.mean:.2f}"


def _estimate(values: Sequence[float], digits: int) -> str:
    found = Estimate.of(values)
    mean = f"{found.mean:.{digits}f}"
    return mean if np.isnan(found.half) else f"{mean} ± {found.half:.{digits}f}"
