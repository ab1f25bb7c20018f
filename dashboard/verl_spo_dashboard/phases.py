"""What a step's time is made of, by verl's timers."""

import numpy as np

from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard.data import Curves

_ROLLOUTS = "gen"

WHOLE_STEP = "timing_s/step"
"""verl's timer of a whole step."""

_PHASES = {
    _ROLLOUTS: "rollouts",
    "reward": "reward",
    "old_log_prob": "log-probs",
    "ref": "reference log-probs",
    "spo_rescore": "re-scoring (kl)",
    "adv": "advantages",
    "update_actor": "update",
    "update_weights": "weight sync",
    "switch_wait": "waiting to switch",
    "switch_to_trainer": "switch to training",
    "switch_to_rollout": "switch to rollouts",
    "save_checkpoint": "checkpoint",
    "testing": "validation",
}
"""The parts of a step that follow one another, by verl's names (timing_s/...), in their order."""

WAITING = "waiting for rollouts (idle)"
REST = "rest (idle)"
IDLE = (WAITING, REST)
"""Parts of a step in which the trainer's devices do nothing."""


def metrics() -> list[str]:
    """Names of the metrics that this is about."""
    return [WHOLE_STEP, *(f"timing_s/{name}" for name in _PHASES)]


def of(curves: Curves, run_id: int, waiting: bool) -> tuple[IntArray, dict[str, FloatArray]]:
    """Seconds of every step by phase.

    Args:
        curves: What was read of the run.
        run_id: Of the run.
        waiting: Whether its trainer has devices of its own, for which the rollouts of others are waiting.

    Returns:
        Steps (n,), and (n,) seconds of each phase: those that never took any are left out, what no phase has is the
        last. Empty where the time of whole steps was not logged.
    """
    steps, whole = curves.points(run_id, WHOLE_STEP)
    if not np.isfinite(whole).any():
        return steps[:0], {}
    found = {}
    for name, words in _PHASES.items():
        values = _at(steps, *curves.points(run_id, f"timing_s/{name}"))
        if values.any():
            found[WAITING if waiting and name == _ROLLOUTS else words] = values
    rest = np.nan_to_num(whole) - np.sum([*found.values(), np.zeros(steps.size)], axis=0)
    return steps, {**found, REST: np.maximum(rest, 0.0)}


def idle_share(parts: dict[str, FloatArray], latest: int) -> float | None:
    """The share of the latest steps' time in which the trainer's devices do nothing; None without any time."""
    whole = sum(values[-latest:].sum() for values in parts.values())
    return float(sum(parts[name][-latest:].sum() for name in IDLE if name in parts) / whole) if whole else None


def _at(steps: IntArray, known: IntArray, values: FloatArray) -> FloatArray:
    """Values at some steps, 0 at those that have none."""
    found = np.zeros(steps.size)
    _, here, there = np.intersect1d(steps, known, return_indices=True)
    found[here] = np.nan_to_num(values[there])
    return found
