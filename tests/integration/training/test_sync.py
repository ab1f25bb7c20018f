"""Synchronous SPO on real verl and real vLLM: it trains, it resumes bit for bit, and a failure ends it."""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support import agreement, small
from tests.support.killing import kill_when, last_step, saved_step, started_by, wait_until_nothing_is_left
from tests.support.waiting import LONGEST_S, STOP_S, wait_until
from verl_spo.errors import StoreError
from verl_spo.launching.processes import segments
from verl_spo.store import open_reader, queries
from verl_spo.store.runs.status import Status
from verl_spo.training import checkpoint

pytestmark = pytest.mark.verl

STEPS = (*agreement.OPTIONS, f"trainer.total_training_steps={small.LAST}")
ONCE = ("trainer.total_training_steps=1", "trainer.save_freq=-1")


def outcomes(run_dir: Path, run: str) -> dict[int, list[tuple]]:
    """What counts of a run, by step: each prompt with its reward, baseline and advantage."""
    found: dict[int, list[tuple]] = {}
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, run).run.id
        page = queries.prompts(reader, run_id, limit=1000)
        for prompt in page.rows:
            for row in queries.prompt_history(reader, run_id, prompt.prompt_id):
                if not row.superseded:
                    found.setdefault(row.step, []).append((row.prompt_id, row.reward, row.baseline, row.advantage))
    return {step: sorted(rows) for step, rows in sorted(found.items())}


def logged_step(run_dir: Path, run: str) -> int:
    """The last step that is over: what comes next is generation."""
    try:
        with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
            page = queries.metric_series(reader, [queries.run(reader, run).run.id], ["timing_s/step"])
            return max((step for series in page.series for step in series.steps.tolist()), default=0)
    except StoreError:
        return 0


def assert_sound(run_dir: Path) -> None:
    """The database opens clean."""
    with sqlite3.connect(run_dir / "verl_spo.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def stop_in_its_first_step(process: subprocess.Popen[str], run_dir: Path) -> None:
    """Ask a run to stop, as a batch system does that wants its node back."""

    def in_first_step() -> bool:
        with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
            run = queries.run(reader, "arithmetic/cut").run
        return (run.status, run.phase) == (Status.RUNNING, "taking the first step") or process.poll() is not None

    wait_until(in_first_step, timeout=LONGEST_S, every=0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=STOP_S) == 128 + signal.SIGTERM, (run_dir / "cut.log").read_text()[-4000:]
    assert not started_by(process)
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        assert queries.run(reader, "arithmetic/cut").run.status == Status.STOPPED


def assert_same_checkpoint(run_dir: Path, step: int) -> None:
    folders = [run_dir / "checkpoints" / name / f"global_step_{step}" for name in ("whole", "cut")]
    whole, cut = (checkpoint.load(folder, f"arithmetic/{folder.parent.name}") for folder in folders)
    np.testing.assert_equal(cut.state, whole.state)


KILLS: tuple[Callable[[Path], bool], ...] = (
    # While verl writes its part of the first checkpoint, after ours.
    lambda run_dir: (run_dir / "checkpoints/cut/global_step_2/spo").is_dir(),
    # In the generation of step 4.
    lambda run_dir: logged_step(run_dir, "arithmetic/cut") >= 3,
    # When step 5 has updated the policy, while the weights go to vLLM (or a little later).
    lambda run_dir: last_step(run_dir, "arithmetic/cut") >= 5,
)


@pytest.mark.parametrize(
    ("kills", "stopped"),
    [
        pytest.param(KILLS[1:2], False, id="once"),
        pytest.param(KILLS, True, id="thrice, and stopped", marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_killed_resumes_bit_for_bit(
    beside_whole: Path,
    train: Callable[..., int],
    start: Callable[..., subprocess.Popen[str]],
    kills: Sequence[Callable[[Path], bool]],
    stopped: bool,
) -> None:
    """With `kl`, which has the most to remember."""
    run_dir = beside_whole
    whole = outcomes(run_dir, "arithmetic/whole")
    assert list(whole) == list(range(1, small.LAST + 1))
    resumed: list[int | None] = [None]
    for reached in kills:
        kill_when(reached, start("cut", *STEPS), run_dir, run_dir / "cut.log")
        assert_sound(run_dir)
        done = range(1, last_step(run_dir, "arithmetic/cut") + 1)
        assert outcomes(run_dir, "arithmetic/cut") == {step: whole[step] for step in done}
        resumed.append(saved_step(run_dir, "cut"))
        if resumed[-1] is not None:
            assert_same_checkpoint(run_dir, resumed[-1])
    if stopped:
        stop_in_its_first_step(start("cut", *STEPS), run_dir)
        done = range(1, last_step(run_dir, "arithmetic/cut") + 1)
        assert outcomes(run_dir, "arithmetic/cut") == {step: whole[step] for step in done}
        resumed.append(saved_step(run_dir, "cut"))
        assert resumed[-1] == done[-1]
    train("cut", *STEPS)

    assert outcomes(run_dir, "arithmetic/cut") == whole
    assert_same_checkpoint(run_dir, small.LAST)
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        found = queries.run(reader, "arithmetic/cut")
        tracker = queries.tracker(reader, found.run.id)
    assert [attempt.resumed_from for attempt in found.attempts] == resumed
    assert tracker.visits.sum() == small.LAST * 16
    rewards = [reward for rows in whole.values() for _, reward, _, _ in rows]
    assert 0 < np.mean(rewards) < 1


@pytest.mark.long
def test_a_run_of_another_name_that_begins_in_the_middle_makes_the_same_steps(
    beside_whole: Path, train: Callable[..., int]
) -> None:
    train("branch", *STEPS, f"spo.branch_from={beside_whole}/checkpoints/whole/global_step_4")
    whole, branch = (outcomes(beside_whole, f"arithmetic/{name}") for name in ("whole", "branch"))
    assert branch == {step: whole[step] for step in range(5, small.LAST + 1)}


def test_weights_stay_in_sync_and_metrics_reach_the_store(validated: Path) -> None:
    names = [
        "training/rollout_probs_diff_max",
        "val-core/arithmetic/acc/mean@2",
        "spo/drift",
        "spo/reward",
        "spo/p_hats",
        "actor/grad_norm",
    ]
    with open_reader(f"sqlite:///{validated}/verl_spo.db") as reader:
        run = queries.run(reader, "arithmetic/validated").run
        series = {each.name: each for each in queries.metric_series(reader, [run.id], names).series}
        rollouts = queries.rollouts(reader, run.id, limit=20).rows
    assert run.status == "finished"
    assert series["training/rollout_probs_diff_max"].values.max() < 1e-4
    assert series["val-core/arithmetic/acc/mean@2"].steps.tolist() == [0, 1, 2]
    assert series["spo/drift"].values.min() > 0
    # The optimal baseline starts at the prior, and has learnt from the first step's outcomes before the second.
    assert series["spo/p_hats"].values[0] == 0.5
    assert 0 < series["spo/p_hats"].values[1] != 0.5
    assert series["actor/grad_norm"].steps.tolist() == [1, 2]
    assert len(rollouts) == 20
    assert all(rollout.response is not None for rollout in rollouts)
    assert {rollout.observation.turns for rollout in rollouts} == {1}
    assert all(rollout.observation.finish in ("stop", "length") for rollout in rollouts)
    assert all((rollout.observation.seconds or 0) > 0 for rollout in rollouts)


def test_initial_values_come_from_rollouts(validated: Path) -> None:
    assert_begins_with_two_responses(validated, "arithmetic/validated")


@pytest.mark.long
def test_initial_values_are_there_beforehand(run_dir: Path, train: Callable[..., int]) -> None:
    values = run_dir / "values.json"
    train("first", f"--out={values}", *ONCE, "spo.init_rollouts=2", command="init-values")
    # Two responses to each prompt are there already, and enough.
    train("first", *ONCE, "spo.init=rollouts", "spo.init_rollouts=1")
    scores = assert_begins_with_two_responses(run_dir, "arithmetic/first")
    written = {digest: sum(each) for digest, each in json.loads(values.read_text()).items()}
    assert written == {digest.hex(): reward_sum for digest, (_, reward_sum) in scores.items()}


def assert_begins_with_two_responses(run_dir: Path, run: str) -> dict[bytes, tuple[int, float]]:
    """The tracker begins with two responses to every prompt; returns `queries.init_scores`."""
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, run).run.id
        scores = queries.init_scores(reader, run_id)
        start = queries.step_summaries(reader, run_id)[0]
    assert len(scores) == 64
    assert {responses for responses, _ in scores.values()} == {2}
    assert 0 < sum(reward_sum for _, reward_sum in scores.values()) < 128
    # Jeffreys' estimates from two responses: 1/6, 1/2 and 5/6.
    assert (start.step, sum(start.value_histogram)) == (0, 64)
    assert {number for number, count in enumerate(start.value_histogram) if count} <= {3, 10, 16}
    return scores


@pytest.mark.long
def test_initial_values_come_from_an_earlier_run(beside_whole: Path, train: Callable[..., int]) -> None:
    train("second", *ONCE, "spo.init=run", "spo.init_run=arithmetic/whole", "spo.init_n_eff=3.5")
    with open_reader(f"sqlite:///{beside_whole}/verl_spo.db") as reader:
        run_id = queries.run(reader, "arithmetic/second").run.id
        unvisited = [row for row in queries.prompts(reader, run_id, limit=1000).rows if row.visits == 0]
    assert [row.n_eff for row in unvisited] == pytest.approx([3.5] * 48)
    assert len({row.value for row in unvisited}) >= 3


def test_a_failed_weight_sync_ends_the_run(run_dir: Path, train: Callable[..., int]) -> None:
    """Without vLLM's part of the CPU platform the weights cannot be reloaded, and verl would wait for ever."""
    status = train(
        "broken",
        "trainer.total_training_steps=1",
        "spo.weight_sync_timeout_s=15",
        expect=None,
        VLLM_PLUGINS="none_of_them",
    )
    assert status == 1
    log = (run_dir / "broken.log").read_text()
    assert "training failed: DeadlineError: weight sync to the rollout engine: no answer within" in log
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run = queries.run(reader, "arithmetic/broken").run
    assert run.status == Status.FAILED
    assert run.error is not None
    assert run.error.startswith("DeadlineError: weight sync to the rollout engine: no answer within spo.weight_sync_")


@pytest.mark.long
def test_an_interrupted_run_leaves_nothing_behind(run_dir: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    before = segments()
    process = start("interrupted", "trainer.total_training_steps=100", "trainer.save_freq=-1")
    wait_until(
        lambda: last_step(run_dir, "arithmetic/interrupted") >= 1 or process.poll() is not None, timeout=LONGEST_S
    )
    assert started_by(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=STOP_S) == 128 + signal.SIGINT
    assert "should not exceed total physical CPU cores" not in (run_dir / "interrupted.log").read_text()
    assert not started_by(process)
    wait_until_nothing_is_left(before)
