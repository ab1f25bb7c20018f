"""Asynchronous SPO on real verl and real vLLM: both modes train, are killed, and resume what they had in flight."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.killing import kill_when, last_step, saved_step
from verl_spo.config import SPOConfig
from verl_spo.core.tracker import ValueTracker
from verl_spo.store import Reader, open_reader, queries
from verl_spo.store.queries import ObservationRow
from verl_spo.training import checkpoint
from verl_spo.training.checkpoint import Checkpoint
from verl_spo.training.session import Outcomes, Session

pytestmark = pytest.mark.verl

RUN, BATCH, POOL = "arithmetic/run", 16, 64


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


def outcomes(rows: list[ObservationRow]) -> Outcomes:
    columns = {
        "rewards": [row.reward for row in rows],
        "lengths": [row.response_length for row in rows],
        "versions": [row.policy_version for row in rows],
        "kl": [np.nan if row.drift is None else row.drift for row in rows],
        "energies": [np.nan for _ in rows],
    }
    return Outcomes(uids=[row.session for row in rows], **{name: np.array(given) for name, given in columns.items()})


def replayed(
    config: SPOConfig, start: Checkpoint, steps: dict[int, list[ObservationRow]], drifts: dict[int, float]
) -> Session:
    """What a session makes of the same outcomes, without a model."""
    session = Session(config, ValueTracker.from_value(POOL), BATCH, str)
    session.restore(start.arrays, start.values)
    for step, rows in steps.items():
        session.dispatch(BATCH)
        session.complete(outcomes(rows), step)
        session.publish(drifts[step])
    return session


@pytest.mark.parametrize(("mode", "retention"), [("colocate_async", "kl"), ("separate_async", "drift")])
def test_an_asynchronous_run_is_killed_and_resumes(
    mode: str,
    retention: str,
    run_dir: Path,
    start: Callable[..., subprocess.Popen[str]],
    train: Callable[..., int],
) -> None:
    given = {"recipe": f"cpu/arithmetic_spo_{mode}"}
    options = ("trainer.save_freq=2", f"spo.retention={retention}")
    endless = start("run", "trainer.total_training_steps=1000", *options, **given)
    kill_when(lambda _: last_step(run_dir, RUN) >= 3, endless, run_dir, run_dir / "run.log")
    begin = saved_step(run_dir, "run") or 0
    first = saved(run_dir, begin)
    in_flight = first.values["in_flight"]
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
    assert len({row.session for row in rows}) == len(rows)
    assert series["spo/failed"].values.tolist() == [0] * end
    # The later mini-batches see what the earlier ones' updates did: old log-probs are those of the step's start.
    assert series["spo/drift"].values.min() > 1e-6

    # Old weights generated, new ones train: the trajectories say which, and the first after the resume were in flight.
    assert all(0 <= row.policy_version < row.step for row in rows)
    carried = [row for row in by_step[begin + 1] if row.session in in_flight]
    assert carried
    # A baseline stays what it was at dispatch, over the kill too.
    assert all(row.baseline == in_flight[row.session][1] for row in carried)

    # What the resumed run drew, and what its tracker holds, is what the checkpoint's session makes of these outcomes.
    drifts = dict(zip(series["spo/drift"].steps.tolist(), series["spo/drift"].values.tolist(), strict=True))
    config = SPOConfig.from_mapping(found.config["spo"])
    session = replayed(config, first, {step: by_step[step] for step in again}, drifts)
    arrays, values = session.state()
    last = saved(run_dir, end)
    assert values == {**last.values, "in_flight": {uid: tuple(kept) for uid, kept in last.values["in_flight"].items()}}
    for name, array in arrays.items():
        if not name.startswith("previous."):
            assert np.array_equal(array, last.arrays[name]), name
