"""What the parts of real asynchronous batches come to, normalized by SPO's past, each alone, and as a whole batch."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.learning.lab.loop import Setting
from benchmarks.learning.lab.methods import Variant
from benchmarks.learning.real import late, trial
from benchmarks.learning.report import Estimate
from verl_spo.core.advantage import normalize
from verl_spo.core.arrays import FloatArray

PARTS = 4
SETTING = Setting("parts", steps=20, parts=PARTS)
VARIANT = Variant("spo", "constant", "trajectory")
ARRIVALS = ("as it is", "wrong late")
_RECIPE = "cpu/arithmetic_spo_separate_async"


@dataclass(frozen=True)
class Measured:
    """One run's batches, their normalizations held against that of the whole batch; means over steps.

    Attributes:
        arrival: One of `ARRIVALS`.
        seed: Of the run.
        reward_first: Mean reward of the parts that came first.
        reward_last: Likewise of those that came last.
        error: By normalization (`past`, `alone`): root mean square difference from the whole batch's advantages, whose
            own root mean square is 1.
        flipped: By normalization: share of trajectories whose advantage has the other sign.
    """

    arrival: str
    seed: int
    reward_first: float
    reward_last: float
    error: Mapping[str, float]
    flipped: Mapping[str, float]


def measure(arrival: str, seed: int, files: trial.Files) -> Measured:
    """Train once by real verl in `spo_separate_async`, and normalize its batches in the three ways.

    Raises:
        RuntimeError: verl failed; its output is in the run's folder.
    """
    trial.begin(files)
    trial.train(_RECIPE, files, overrides(arrival, seed, files))
    return compare(arrival, seed, *batches(files.database))


def overrides(arrival: str, seed: int, files: trial.Files) -> list[str]:
    """What a run changes in its recipe."""
    given = [
        *trial.overrides(SETTING, VARIANT, seed, files),
        "trainer.logger=[console]",
        "trainer.save_freq=-1",
        f"trainer.v1.separate_async.parameter_sync_step={PARTS}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={SETTING.batch // PARTS}",
    ]
    if arrival == "as it is":
        return given
    loop = f"{late.WrongLateAgentLoop.__module__}.{late.WrongLateAgentLoop.__qualname__}"
    return [*given, *trial.agent_loop(files, late.NAME, _target_=loop)]


def batches(database: Path) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Reward, reward less baseline and advantage of a store's only run, (steps, parts, trajectories) each, in order."""
    query = "SELECT reward, reward - baseline, advantage FROM observations ORDER BY step, seq"
    with closing(sqlite3.connect(database)) as connection:
        columns = np.array(connection.execute(query).fetchall()).T
    reward, raw, advantage = columns.reshape(3, -1, PARTS, SETTING.batch // PARTS)
    return reward, raw, advantage


def compare(arrival: str, seed: int, reward: FloatArray, raw: FloatArray, by_past: FloatArray) -> Measured:
    """Hold the advantages that SPO gave, and those of each part alone, against those of the whole batch.

    Args:
        arrival: One of `ARRIVALS`.
        seed: Of the run.
        reward: (steps, parts, trajectories).
        raw: Likewise, reward less baseline.
        by_past: Likewise, SPO's advantages.
    """
    size = raw.shape[-1]
    alone = np.stack([[normalize(part, np.ones(size), "trajectory") for part in batch] for batch in raw])
    whole = np.stack([normalize(batch.ravel(), np.ones(batch.size), "trajectory") for batch in raw]).reshape(raw.shape)
    given = {"past": by_past, "alone": alone}
    return Measured(
        arrival,
        seed,
        reward_first=float(reward[:, 0].mean()),
        reward_last=float(reward[:, -1].mean()),
        error={name: float(np.sqrt(((each - whole) ** 2).mean())) for name, each in given.items()},
        flipped={name: float((each * whole < 0).mean()) for name, each in given.items()},
    )


def table(measured: Sequence[Measured]) -> str:
    """Markdown: a line for each arrival and normalization, means and intervals over seeds."""
    head = ("arrival", "normalized by", "seeds", "reward, first part", "last part", "error", "other sign, %")
    lines = [list(head), ["---", "---", *["---:"] * (len(head) - 2)]]
    for arrival in ARRIVALS:
        runs = [each for each in measured if each.arrival == arrival]
        for name in runs[0].error if runs else ():
            lines.append(
                [
                    arrival,
                    {"past": "the past (SPO)", "alone": "each part alone"}[name],
                    str(len(runs)),
                    Estimate.of([run.reward_first for run in runs]).points(),
                    Estimate.of([run.reward_last for run in runs]).points(),
                    Estimate.of([run.error[name] for run in runs]).plain(),
                    Estimate.of([run.flipped[name] for run in runs]).points(),
                ]
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
