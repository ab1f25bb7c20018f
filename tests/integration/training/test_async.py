"""Asynchronous SPO on real verl and real vLLM: both modes train, and resume from what they had in flight."""

from collections.abc import Callable
from pathlib import Path

import pytest

from verl_spo.store import open_reader, queries
from verl_spo.training import checkpoint

pytestmark = pytest.mark.verl


@pytest.mark.parametrize("mode", ["colocate_async", "separate_async"])
def test_an_asynchronous_run_trains_and_resumes(mode: str, run_dir: Path, train: Callable[..., int]) -> None:
    recipe = f"cpu/arithmetic_spo_{mode}"
    options = ("trainer.save_freq=2", "spo.retention=drift")
    train("run", "trainer.total_training_steps=2", *options, recipe=recipe)
    saved = checkpoint.load(run_dir / "checkpoints" / "run" / "global_step_2", "arithmetic/run")
    in_flight = saved.values["in_flight"]
    assert len(in_flight) >= 16

    train("run", "trainer.total_training_steps=4", *options, recipe=recipe)
    names = ["training/rollout_probs_diff_max", "training/off_policy/trajectory_staleness/max", "spo/drift"]
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, "arithmetic/run").run.id
        series = {each.name: each for each in queries.metric_series(reader, [run_id], names).series}
        observed = [
            row
            for prompt in queries.prompts(reader, run_id, limit=1000).rows
            for row in queries.prompt_history(reader, run_id, prompt.prompt_id)
            if not row.superseded
        ]
    assert series["spo/drift"].steps.tolist() == [1, 2, 3, 4]
    # Old weights generated, new ones train: the trajectories say which, and the first after the resume were in flight.
    assert {row.session for row in observed if row.step == 3} & set(in_flight)
    assert all(0 <= row.policy_version < row.step for row in observed)
    assert len(observed) == 4 * 16
    assert len({row.session for row in observed}) == len(observed)
