"""One training run is one row, whichever tier made it. The rows are the benchmark's result; tables come from them."""

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

RESULTS = Path(__file__).parents[1] / "results"
LEARNING = RESULTS / "learning"
# Reward above the start that `trajectories_to_target` waits for.
TARGET_GAIN = 0.10

_OF_CURVE = ("curve", "area", "final", "validation_area", "trajectories_to_target")

Curve: TypeAlias = list[tuple[int, float, float]]

VariantKey = tuple[str, str | None, str | None]
"""Method, retention and normalization."""


@dataclass(frozen=True)
class Row:
    """A run.

    Attributes:
        tier: `lab` or `verl`.
        setting: Name of the set-up; rows are compared within one.
        method: `spo`, `grpo`, ...
        retention: SPO's; None for other methods.
        normalization: SPO's; None for other methods.
        seed: Runs of equal seed are compared in pairs.
        steps: Training steps.
        batch: Trajectories a step.
        pool: Prompts.
        lr: Learning rate.
        policy: Digest of the card of the model that it starts from: runs from different models are not compared.
        area: Mean over the run of the reward curve: the expected reward of a prompt of the pool, in [0, 1], all prompts
            counting alike, whichever the method likes to sample.
        final: Validation accuracy after the last step.
        validation_area: Mean over the run of the validation accuracy.
        degenerate: Share of trajectories without a learning signal: advantage 0.
        trajectories_to_target: Until the reward curve is `TARGET_GAIN` above its start; None if it never is.
        extra_logprob_passes: A step, beside what every method needs.
        curve: (step, expected reward, validation accuracy), step 0 first; a step counts as `batch` trajectories
            generated, thrown away or not.
        metrics: Whatever else helps to understand the run: means over it.
        tokens: Of all responses generated up to each point of the curve; empty where they were not counted.
    """

    tier: str
    setting: str
    method: str
    retention: str | None
    normalization: str | None
    seed: int
    steps: int
    batch: int
    pool: int
    lr: float
    policy: str
    area: float
    final: float
    validation_area: float
    degenerate: float
    trajectories_to_target: float | None
    extra_logprob_passes: float
    curve: Curve
    metrics: dict[str, float]
    tokens: list[int] = field(default_factory=list)

    @classmethod
    def from_curve(cls, curve: Curve, batch: int, steps: int, **rest: Any) -> "Row":
        """A row whose curve's figures are worked out here, the same for both tiers; `rest` are the other fields.

        What a run generated beyond `steps` batches, because it had begun them, counts for its final accuracy alone.
        """
        rewards, accuracies = [(step, reward) for step, reward, _ in curve], [(step, value) for step, _, value in curve]
        target = steps_to(rewards, rewards[0][1] + TARGET_GAIN)
        return cls(
            curve=curve,
            batch=batch,
            steps=steps,
            area=area_under(rewards, steps),
            final=accuracies[-1][1],
            validation_area=area_under(accuracies, steps),
            trajectories_to_target=None if target is None else target * batch,
            **rest,
        )

    def through(self, steps: int) -> "Row":
        """The beginning of the run; its `metrics` and shares stay those of the whole."""
        rest = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name not in (*_OF_CURVE, "steps", "tokens")
        }
        return Row.from_curve([point for point in self.curve if point[0] <= steps], steps=steps, **rest)

    def area_by_tokens(self, tokens: int) -> float:
        """Mean of the reward curve over the first so many generated tokens."""
        curve = [(count, reward) for count, (_, reward, _) in zip(self.tokens, self.curve, strict=True)]
        return area_under(curve, tokens)

    @property
    def variant(self) -> VariantKey:
        """Which variant it is a run of; each has a line in its setting's table."""
        return self.method, self.retention, self.normalization


def area_under(curve: Sequence[tuple[int, float]], end: int) -> float:
    """Mean of a piecewise linear curve from where it begins to `end`, which it reaches."""
    places, heights = zip(*curve, strict=True)
    inside = [(place, height) for place, height in curve if place < end]
    cut = [*inside, (end, float(np.interp(end, places, heights)))]
    area: float = sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(cut))
    return area / (end - curve[0][0])


def steps_to(curve: Sequence[tuple[int, float]], target: float) -> float | None:
    """Where a piecewise linear curve first reaches `target`; None if it does not."""
    for (x0, y0), (x1, y1) in pairwise(curve):
        if y0 < target <= y1:
            return x0 + (x1 - x0) * (target - y0) / (y1 - y0)
    return None


def load(paths: Iterable[Path]) -> list[Row]:
    """All rows of some result files; a file that does not exist has none."""
    rows = [Row(**row) for path in paths if path.exists() for row in json.loads(path.read_text())]
    return sorted(rows, key=lambda row: (row.tier, row.setting, *map(str, row.variant), row.seed))


def add(path: Path, row: Row) -> None:
    """Add a row to a result file; processes that add at the same time wait for each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        rows = [*load([path]), row]
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text("[\n" + ",\n".join(json.dumps(_compact(row)) for row in rows) + "\n]\n")
        unfinished.replace(path)
    finally:
        os.close(folder)


def _compact(row: Row) -> dict[str, object]:
    values = asdict(row)
    return {name: _rounded(value) for name, value in values.items()}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return value
