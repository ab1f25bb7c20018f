"""What real runs of the throughput benchmark are, and how their figures are read."""

import json
import os
from pathlib import Path

import pytest

from benchmarks.learning.real.trial import Files, recipe_of
from benchmarks.throughput.real import results, trial
from verl_spo.launching import compose

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path):
    found = Files(model=tmp_path / "model", data=tmp_path / "data", run=tmp_path / "run")
    found.rollouts.mkdir(parents=True)
    return found


@pytest.mark.parametrize("way", results.WAYS, ids=str)
def test_every_way_trains_on_as_many_trajectories(way, files):
    config = compose.load(recipe_of(trial.variant_of(way)), trial.overrides(way, 7, files))
    rollout = config.actor_rollout_ref.rollout
    assert config.data.train_batch_size * rollout.n == results.BATCH
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == config.data.train_batch_size
    assert config.trainer.v1.trainer_mode.removeprefix("spo_") == way.mode
    assert rollout.n == way.group
    (loop,) = json.loads(Path(rollout.agent.agent_loop_config_path).read_text())
    assert (loop["name"], loop["sigma"]) == (rollout.agent.default_agent_loop, results.SIGMA)


def test_figures_are_those_of_the_steps_after_the_first(files):
    steps = range(1, results.STEPS + 1)
    for step in steps:
        dump = files.rollouts / f"{step}.jsonl"
        dump.touch()
        os.utime(dump, (0, 100 if step <= results.WARM else 100 + 2.5 * (step - results.WARM)))
    logged = {"response_length/mean": 4, "critic/score/mean": 0.25, "timing_s/step": 3.0, "timing_s/gen": 2.0}
    warm = dict.fromkeys(logged, 1000000.0)
    files.log.write_text(
        "".join(json.dumps({"step": step, "data": warm if step <= results.WARM else logged}) + "\n" for step in steps)
    )
    trial.begun(files).write_bytes(b"." * (results.BATCH * results.STEPS * 3 // 2))
    read = trial.read(results.WAYS[0], 7, files)
    assert read == results.Measured("grpo, sync", 7, 2.5, 0.0, begun=1.5, tokens=128, reward=0.25, update=1.0)


def test_ways_are_compared_seed_by_seed():
    def row(way, seed, seconds):
        return results.Measured(str(way), seed, seconds, 0.5, 1.1, 130, 0.3, update=1.0)

    waiting, continuous = results.WAYS[0], results.WAYS[-1]
    rows = [row(waiting, 0, 20), row(waiting, 1, 30), row(continuous, 0, 5), row(continuous, 1, 6)]
    first, last = results.report(rows).splitlines()[2:]
    assert first.startswith("| GRPO | `sync` | 2 | 25.0")
    assert first.endswith("| 1.00 ± 0.00 | 1.00 |")
    assert last.startswith("| SPO | `separate_async` | 2 | 5.5")
    # 20 / 5 and 30 / 6, and what is simulated is no measurement of these.
    assert "| 4.50 ± " in last
    assert float(last.split("|")[-2]) > 3
