"""A look at a run: its alerts, from bounded parts of what it stored: first steps, last, a sketch of those between."""

from collections.abc import Sequence

import numpy as np

from verl_spo.config import StoreConfig
from verl_spo.store import Reader, queries
from verl_spo.store.queries import Cursor, RunDetail, RunRow, SummaryRow
from verl_spo.store.records import FloatArray, IntArray
from verl_spo.store.runs.status import Status
from verl_spo.watching import rules as rule
from verl_spo.watching.alert import Alert, AlertName, Severity
from verl_spo.watching.options import MOST_STEPS, AlertRules

RECENT_STEPS = 2 * MOST_STEPS
"""The latest steps, of which all is read."""

SKETCH_WINDOWS = 32
"""Windows of steps before those, at most, whose rewards are read: the best so far is the best of these."""

ENTROPY = "actor/entropy"
QUEUE = "spo/store/queue_depth"
DISK = "spo/store/disk_free_gb"

_Points = tuple[IntArray, FloatArray]
_TRAINS = (Status.RUNNING, Status.LOST)


def alerts(reader: Reader, run: RunDetail, rules: AlertRules, now: float) -> list[Alert]:
    """What is wrong with a run, worst first.

    Of a run that has ended, what it has learned until then; nothing about its writer and its disk.

    Args:
        reader: The database.
        run: As `queries.run` returns it.
        rules: The limits.
        now: Seconds since the epoch.
    """
    row = run.run
    recent = _recent(reader, row)
    if not recent:
        found = [_ended(row, now)]
    else:
        first = queries.step_summaries(reader, row.id, row.begins_after, limit=rules.failure_window)
        points = _points(reader, row)
        found = [
            _ended(row, now),
            rule.reward_collapse(*_rewards(reader, row, recent, rules), rules),
            rule.entropy_collapse(*points[ENTROPY], _entropy_at_start(reader, row, rules), rules),
            rule.failing_requests(_steps(recent), _failed(recent), _requests(recent), _failing(first), rules),
        ]
        if row.status in _TRAINS:
            found += [
                rule.writer_behind(*points[QUEUE], _queue_steps(run), rules),
                rule.disk_nearly_full(*points[DISK], rules),
            ]
        if row.status == Status.RUNNING and row.phase is None:
            found.append(_stalled(run, recent, now, rules))
    present = [alert for alert in found if alert is not None]
    return sorted(present, key=lambda alert: (alert.severity != Severity.CRITICAL, list(AlertName).index(alert.name)))


def _ended(run: RunRow, now: float) -> Alert | None:
    """Whether it trains no longer, without having finished."""
    if run.status == Status.LOST:
        return Alert(
            AlertName.LOST,
            Severity.CRITICAL,
            run.last_step or None,
            f"No sign of life for {now - run.heartbeat_at:,.0f} s, though nothing says that the run has ended.",
            "Its process is dead or cannot reach the database: look at its machine and the end of train.log; the same "
            "command resumes it from its last checkpoint.",
        )
    if run.status == Status.FAILED:
        why = next(iter((run.error or "").splitlines()), "")
        return Alert(
            AlertName.FAILED,
            Severity.CRITICAL,
            run.last_step or None,
            f"It failed after step {run.last_step}{': ' + why if why else '.'}",
            "`verl-spo runs show` has the whole error, docs/troubleshooting.md known ones; the same command resumes "
            "the run from its last checkpoint.",
        )
    return None


def _stalled(run: RunDetail, recent: Sequence[SummaryRow], now: float, rules: AlertRules) -> Alert | None:
    present = run.attempts[-1]
    own = [row for row in recent if row.attempt == present.attempt]
    return rule.stalled(_steps(own), np.array([row.time for row in own]), present.started_at, now, rules)


def _recent(reader: Reader, run: RunRow) -> list[SummaryRow]:
    """The latest steps. What stands before the first one is where the tracker begins, and no step."""
    after = max(run.begins_after, run.last_step - RECENT_STEPS)
    return queries.step_summaries(reader, run.id, after, limit=RECENT_STEPS)


def _points(reader: Reader, run: RunRow) -> dict[str, _Points]:
    """The latest numbers of the metrics that rules look at, in order; none of those that the run does not have."""
    names = (ENTROPY, QUEUE, DISK)
    after = run.last_step - RECENT_STEPS
    cursor = Cursor(steps={(run.id, name): after for name in names})
    page = queries.metric_series(reader, [run.id], names, cursor, limit=RECENT_STEPS)
    found = {series.name: _finite(series.steps, series.values) for series in page.series}
    return {name: found.get(name, _finite(np.empty(0, dtype=np.int64), np.empty(0))) for name in names}


def _rewards(reader: Reader, run: RunRow, recent: Sequence[SummaryRow], rules: AlertRules) -> _Points:
    """Mean rewards of the latest steps, and before them of windows that are spread over all earlier ones."""
    sketched = _sketched_steps(run.begins_after, recent[0].step - 1, rules.reward_window)
    rows = queries.rewards_at(reader, run.id, sketched) if sketched else []
    rows += [(row.step, row.reward_mean) for row in recent if row.reward_mean is not None]
    steps, rewards = zip(*rows, strict=True) if rows else ((), ())
    return np.array(steps, dtype=np.int64), np.array(rewards, dtype=np.float64)


def _sketched_steps(before: int, last: int, window: int) -> list[int]:
    """Steps of windows after `before` and up to `last`: all, or every second one, fourth, ... of many.

    Which ones depends on nothing else, so that the best so far is not another one at the next look.
    """
    count, stride = (last - before) // window, 1
    while count // stride > SKETCH_WINDOWS:
        stride *= 2
    starts = range(before + 1, before + 1 + count * window, stride * window)
    return [step for start in starts for step in range(start, start + window)]


def _entropy_at_start(reader: Reader, run: RunRow, rules: AlertRules) -> float:
    page = queries.metric_series(reader, [run.id], [ENTROPY], limit=rules.entropy_window)
    values = [value for series in page.series for value in series.values[np.isfinite(series.values)]]
    return float(np.mean(values)) if values else 0.0


def _failed(rows: Sequence[SummaryRow]) -> FloatArray:
    return np.array([row.details.get("n_failed") or 0 for row in rows], dtype=np.float64)


def _requests(rows: Sequence[SummaryRow]) -> FloatArray:
    return np.array([row.observations for row in rows], dtype=np.float64) + _failed(rows)


def _failing(rows: Sequence[SummaryRow]) -> float:
    """Share of the steps' requests that brought no trajectory."""
    return float(_failed(rows).sum() / max(_requests(rows).sum(), 1.0))


def _queue_steps(run: RunDetail) -> int:
    """How many steps may wait, by the run's own configuration."""
    options = run.config.get("spo") or {}
    return int((options.get("store") or {}).get("queue_steps") or StoreConfig().queue_steps)


def _steps(rows: Sequence[SummaryRow]) -> IntArray:
    return np.array([row.step for row in rows], dtype=np.int64)


def _finite(steps: IntArray, values: FloatArray) -> _Points:
    known = np.isfinite(values)
    return steps[known], values[known]
