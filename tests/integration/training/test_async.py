"""Asynchronous SPO on real verl and real vLLM: both modes train, end early, and resume what they had in flight."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.killing import kill_when, last_step, saved_step, started_by
from tests.support.waiting import LONGEST_S, STOP_S, wait_until
from verl_spo import SPO, SPOConfig
from verl_spo.store import Reader, open_reader, queries
from verl_spo.store.queries import ObservationRow
from verl_spo.store.runs.status import Status
from verl_spo.training import checkpoint
from verl_spo.training.checkpoint import Checkpoint

pytestmark = pytest.mark.verl

RUN, BATCH, POOL = "arithmetic/run", 16, 64
# Of a step's batch, in `spo_separate_async`.
PARTS = 2


def saved(run_dir: Path, step: int) -> Checkpoint:
    return checkpoint.load(run_dir / "checkpoints" / "run" / f"global_step_{step}", RUN)


def observed(reader: Reader, run_id: int) -> list[ObservationRow]:
    """All that counts, in the order of the batches."""
    rows = [
        row
        for prompt in queries.prompts(reader, run_id, limit=1000).rows
        for row in queries.prompt_history(reader, run_id, prompt.prompt_id)
        if not row.superseded
    ]
    return sorted(rows, key=lambda row: (row.step, row.seq))


def outcomes(rows: list[ObservationRow], retention: str) -> dict[str, Any]:
    """What `SPO.complete` was told of these trajectories."""
    change = [np.nan if row.policy_change is None else row.policy_change for row in rows] if retention == "kl" else None
    return {
        "uids": [row.uid for row in rows],
        "rewards": [row.reward for row in rows],
        "lengths": [row.response_length for row in rows],
        "versions": [row.policy_version for row in rows],
        "policy_change": change,
    }


def replayed(
    config: SPOConfig, start: Checkpoint, steps: dict[int, list[ObservationRow]], drifts: dict[int, float], parts: int
) -> SPO:
    """What SPO makes of the same outcomes, without a model."""
    spo = SPO(config, pool_size=POOL, batch_size=BATCH, in_parts=parts > 1)
    spo.load_state_dict(start.state)
    for step, rows in steps.items():
        spo.dispatch(BATCH)
        for first in range(0, BATCH, BATCH // parts):
            part = rows[first : first + BATCH // parts]
            spo.complete(**outcomes(part, config.retention), step=step)
        spo.publish(drifts[step])
    return spo


def assert_one_centre_and_scale(rows: list[ObservationRow]) -> None:
    """A step's advantages are normalized alike, whatever part of the batch they came in."""
    raw = np.array([row.reward - row.baseline for row in rows])
    advantages = np.array([row.advantage for row in rows])
    slope, intercept = np.polyfit(raw, advantages, 1)
    assert slope > 0
    np.testing.assert_allclose(advantages, slope * raw + intercept, atol=1e-6)


def killed(process: subprocess.Popen[str], run_dir: Path) -> None:
    """End a run that trains without a word."""
    kill_when(trains, process, run_dir, run_dir / "run.log")


def stopped(process: subprocess.Popen[str], run_dir: Path) -> None:
    """Ask a run that trains to stop, as a batch system does that wants its node back; it saves where it is."""
    wait_until(lambda: trains(run_dir) or process.poll() is not None, timeout=LONGEST_S)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=STOP_S) == 128 + signal.SIGTERM, (run_dir / "run.log").read_text()[-4000:]
    assert not started_by(process)
    assert saved_step(run_dir, "run") == last_step(run_dir, RUN)
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        assert queries.run(reader, RUN).run.status == Status.STOPPED


def trains(run_dir: Path) -> bool:
    return last_step(run_dir, RUN) >= 3


@pytest.mark.parametrize(
    ("mode", "ended", "retention", "sampling", "parts"),
    [
        ("colocate_async", stopped, "kl", "prioritized", 1),
        ("separate_async", killed, "drift", "even", PARTS),
    ],
)
def test_an_asynchronous_run_that_ends_early_resumes(
    mode: str,
    ended: Callable[[subprocess.Popen[str], Path], None],
    retention: str,
    sampling: str,
    parts: int,
    run_dir: Path,
    start: Callable[..., subprocess.Popen[str]],
    train: Callable[..., int],
) -> None:
    given = {"recipe": f"cpu/arithmetic_spo_{mode}"}
    options = ("trainer.save_freq=2", f"spo.retention={retention}", f"spo.sampling={sampling}")
    ended(start("run", "trainer.total_training_steps=1000", *options, **given), run_dir)
    begin = saved_step(run_dir, "run") or 0
    first = saved(run_dir, begin)
    in_flight = first.state["in_flight"]
    assert len(in_flight) >= BATCH

    again, end = (begin + 1, begin + 2), begin + 2
    train("run", f"trainer.total_training_steps={end}", *options, **given)
    names = ["spo/drift", "spo/failed"]
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        found = queries.run(reader, RUN)
        series = {each.name: each for each in queries.metric_series(reader, [found.run.id], names).series}
        rows = observed(reader, found.run.id)
    assert [attempt.resumed_from for attempt in found.attempts] == [None, begin]
    by_step = {step: [row for row in rows if row.step == step] for step in range(1, end + 1)}
    assert [len(each) for each in by_step.values()] == [BATCH] * end
    assert len({row.uid for row in rows}) == len(rows)
    assert series["spo/failed"].values.tolist() == [0] * end
    # The later mini-batches see what the earlier ones' updates did: old log-probs are those of the step's start.
    assert series["spo/drift"].values.min() > 1e-6

    for each in by_step.values():
        assert_one_centre_and_scale(each)

    # Old weights generated, new ones train: the trajectories say which, and the first after the resume were in flight.
    assert all(0 <= row.policy_version < row.step for row in rows)
    carried = [row for row in by_step[begin + 1] if row.uid in in_flight]
    assert carried
    # A baseline stays what it was at dispatch, over the end too.
    assert all(row.baseline == in_flight[row.uid][1] for row in carried)

    # What the resumed run drew, and what its tracker holds, is what the checkpoint's state makes of these outcomes.
    drifts = dict(zip(series["spo/drift"].steps.tolist(), series["spo/drift"].values.tolist(), strict=True))
    config = SPOConfig.from_mapping(found.config["spo"])
    replay = replayed(config, first, {step: by_step[step] for step in again}, drifts, parts).state_dict()
    expected = {name: value for name, value in saved(run_dir, end).state.items() if not name.startswith("previous.")}
    np.testing.assert_equal({name: replay[name] for name in expected}, expected)
