"""The rules: each looks at a few arrays of a run, by step, and returns the alert that they raise, or None.

Arrays are (n,) in the order of their steps, without NaN. A rule says nothing before its window is full. One that looks
at means over a window goes on for half a window after its condition has last held: its alert does not come and go.
"""

import numpy as np

from verl_spo.store.records import FloatArray, IntArray
from verl_spo.watching.alert import Alert, AlertName, Severity
from verl_spo.watching.options import AlertRules

CHANCE = 5.0
"""Standard errors by which a mean must differ before a rule believes it: a rule looks at thousands of windows."""


def reward_collapse(steps: IntArray, rewards: FloatArray, rules: AlertRules) -> Alert | None:
    """Whether the mean reward of a window has lost too much of the best one so far, and by more than chance.

    Args:
        steps: The latest ones, and before them as many whole windows of earlier ones as there are to compare with.
        rewards: Mean reward of each step, in [0, 1].
        rules: `reward_drop`, `reward_window`.
    """
    at, means, errors = _windows(steps, rewards, rules.reward_window)
    if not at.size:
        return None
    best = _so_far(means)
    lost, noise = means[best] - means, np.hypot(errors, errors[best])
    since = _since(at, (lost > rules.reward_drop * means[best]) & (lost > CHANCE * noise), rules.reward_window // 2)
    if since is None:
        return None
    top = best[-1]
    return Alert(
        AlertName.REWARD_COLLAPSE,
        Severity.CRITICAL,
        since,
        f"The mean reward of the last {rules.reward_window} steps is {means[-1]:.3f}, {_lost(means[-1], means[top])} "
        f"below the best such mean, {means[top]:.3f} at step {at[top]}; the limit is {rules.reward_drop:.0%} "
        "(reward_drop).",
        "Look at KL, clip fraction and lengths where the fall began, and branch from a checkpoint before it "
        "(spo.branch_from), with a lower learning rate.",
    )


def entropy_collapse(steps: IntArray, entropy: FloatArray, start: float, rules: AlertRules) -> Alert | None:
    """Whether the policy's entropy has all but vanished.

    Args:
        steps: The latest ones.
        entropy: Mean of each step, nats per token.
        start: Mean of the run's first window, nats per token.
        rules: `entropy_share`, `entropy_floor`, `entropy_window`.
    """
    at, means, _ = _windows(steps, entropy, rules.entropy_window)
    limit = max(rules.entropy_share * start, rules.entropy_floor)
    since = _since(at, means < limit, rules.entropy_window // 2)
    if since is None:
        return None
    return Alert(
        AlertName.ENTROPY_COLLAPSE,
        Severity.WARNING,
        since,
        f"The mean entropy of the last {rules.entropy_window} steps is {means[-1]:.4f} nats per token; it began with "
        f"{start:.4f}, and the limit is {limit:.4f} (entropy_share, entropy_floor).",
        "The policy answers alike every time and explores no more: raise clip_ratio_high or the rollout's temperature, "
        "or lower the learning rate; a policy that solves its whole pool is done.",
    )


def failing_requests(
    steps: IntArray, failed: FloatArray, requests: FloatArray, start: float, rules: AlertRules
) -> Alert | None:
    """Whether too many requests bring no trajectory, or many more than in the beginning.

    Args:
        steps: The latest ones.
        failed: Requests of each step that brought none.
        requests: All requests of each step.
        start: Share that failed in the run's first window, in [0, 1].
        rules: `failure_share`, `failure_growth`, `failure_window`.
    """
    window = rules.failure_window
    if steps.size < window:
        return None
    kernel = np.ones(window)
    share = np.convolve(failed, kernel, "valid") / np.maximum(np.convolve(requests, kernel, "valid"), 1)
    bad = (share > rules.failure_share) | (share - start > rules.failure_growth)
    since = _since(steps[window - 1 :], bad, window // 2)
    if since is None:
        return None
    return Alert(
        AlertName.FAILING_REQUESTS,
        Severity.WARNING,
        since,
        f"{share[-1]:.1%} of the requests of the last {window} steps brought no trajectory, and {start:.1%} of the "
        f"first {window}; the limits are {rules.failure_share:.0%} (failure_share) and {rules.failure_growth:.0%} more "
        "than in the beginning (failure_growth).",
        "Look in train.log for what sessions, tools and the reward function raise; asynchronous modes also give up "
        "requests that are too old (trainer.v1).",
    )


def stalled(steps: IntArray, ended_at: FloatArray, going_since: float, now: float, rules: AlertRules) -> Alert | None:
    """Whether the present step takes much longer than steps do.

    Args:
        steps: The latest ones of the present attempt, at least three for a verdict.
        ended_at: When each ended, seconds since the epoch.
        going_since: When the attempt began, likewise.
        now: The present, likewise.
        rules: `stall_factor`, `stall_least_s`.
    """
    if steps.size < 3:
        return None
    usual = float(np.median(np.diff(ended_at)))
    limit = max(rules.stall_factor * usual, rules.stall_least_s)
    waiting = now - max(float(ended_at[-1]), going_since)
    if waiting <= limit:
        return None
    return Alert(
        AlertName.STALLED,
        Severity.CRITICAL,
        int(steps[-1]),
        f"Step {steps[-1]} ended {waiting:,.0f} s ago and none since; a step usually takes {usual:,.1f} s, and the "
        f"limit is {limit:,.0f} s (stall_factor, stall_least_s).",
        "Look at the end of train.log: a hanging reward function or tool, a weight sync, a checkpoint on a slow disk. "
        "A validation that takes this long needs a higher stall_factor.",
    )


def writer_behind(steps: IntArray, depth: FloatArray, bound: int, rules: AlertRules) -> Alert | None:
    """Whether the database takes steps more slowly than training makes them.

    Args:
        steps: The latest ones.
        depth: Records that waited for the database at each.
        bound: Steps that may wait before training waits too (`spo.store.queue_steps`).
        rules: `queue_share`, `queue_window`.
    """
    limit, window = rules.queue_share * bound, rules.queue_window
    if steps.size < window or not (depth[-window:] >= limit).all():
        return None
    below = np.flatnonzero(depth < limit)
    since = steps[below[-1] + 1] if below.size else steps[0]
    return Alert(
        AlertName.WRITER_BEHIND,
        Severity.WARNING,
        int(since),
        f"At least {depth[-window:].min():,.0f} records waited for the database at each of the last {window} steps "
        f"stored; the limit is {limit:g}, {rules.queue_share:.0%} (queue_share) of spo.store.queue_steps={bound}.",
        "The database is slow or was away: look at its disk and its other users. Pages lag behind; training waits once "
        "the queue is full.",
    )


def disk_nearly_full(steps: IntArray, free: FloatArray, rules: AlertRules) -> Alert | None:
    """Whether little is left, or less than one step has taken of the disk before.

    Args:
        steps: The latest ones.
        free: GiB free after each, where the history or the checkpoints lie, whichever is less.
        rules: `disk_free_gb`, `disk_writes`.
    """
    if not steps.size:
        return None
    largest = float(max(0.0, *-np.diff(free))) if steps.size > 1 else 0.0
    limit = max(rules.disk_free_gb, rules.disk_writes * largest)
    if free[-1] >= limit:
        return None
    enough = np.flatnonzero(free >= limit)
    since = steps[enough[-1] + 1] if enough.size else steps[0]
    return Alert(
        AlertName.DISK_NEARLY_FULL,
        Severity.CRITICAL,
        int(since),
        f"{free[-1]:.1f} GiB are free where the history or the checkpoints lie; the limit is {limit:.1f} GiB, the "
        f"larger of {rules.disk_free_gb:g} (disk_free_gb) and {rules.disk_writes:g} times the {largest:.1f} GiB that "
        "one step has taken at most (disk_writes).",
        "Free the disk, keep fewer checkpoints (trainer.max_actor_ckpt_to_keep), or prune texts (verl-spo db prune).",
    )


def _windows(steps: IntArray, values: FloatArray, window: int) -> tuple[IntArray, FloatArray, FloatArray]:
    """Last step, mean and its standard error of every window of consecutive steps, (m,) each."""
    if steps.size < window:
        return steps[:0], values[:0], values[:0]
    rolling = np.lib.stride_tricks.sliding_window_view(values, window)
    whole = steps[window - 1 :] - steps[: steps.size - window + 1] == window - 1
    means, errors = rolling.mean(axis=1), rolling.std(axis=1, ddof=1) / np.sqrt(window)
    return steps[window - 1 :][whole], means[whole], errors[whole]


def _so_far(values: FloatArray) -> IntArray:
    """Of each place, where the largest of the values up to it stands."""
    best = np.maximum.accumulate(values)
    places = np.where(values == best, np.arange(values.size), 0)
    return np.maximum.accumulate(places)


def _since(steps: IntArray, bad: np.ndarray, patience: int) -> int | None:
    """The step at which what is still so began; breaks of up to `patience` steps are passed over. None: not so."""
    places = np.flatnonzero(bad)
    if not places.size or steps.size - 1 - places[-1] > patience:
        return None
    breaks = np.flatnonzero(np.diff(places) > patience + 1)
    return int(steps[places[breaks[-1] + 1 if breaks.size else 0]])


def _lost(value: float, best: float) -> str:
    return f"{1 - value / best:.0%}"
