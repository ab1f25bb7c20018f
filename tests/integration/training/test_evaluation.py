"""`verl-spo evaluate` on real verl and real vLLM: runs, checkpoints and models, interrupted and resumed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.integration.training.test_multi_turn import BETWEEN_TURNS, TOOLS
from tests.support import small
from tests.support.killing import kill_when, wait_until_nothing_is_left
from tests.support.waiting import LONGEST_S
from verl_spo.launching.processes import segments
from verl_spo.store import open_reader, queries
from verl_spo.store.evaluations import REWARD
from verl_spo.store.queries import EvaluationRow, Scores
from verl_spo.store.records import Finish, Origin

pytestmark = pytest.mark.verl

PROBLEMS = 16
STEPS = ("trainer.total_training_steps=2", "trainer.save_freq=2", "trainer.test_freq=2")


def command(run_dir: Path, target: str | Path, *options: str) -> list[str]:
    given = ["--benchmark", str(run_dir / "data" / "validation.parquet"), "--db", f"sqlite:///{run_dir}/verl_spo.db"]
    return [sys.executable, "-m", "verl_spo", "evaluate", str(target), *given, *options]


def evaluate(run_dir: Path, target: str | Path, *options: str) -> str:
    """Evaluate to the end; nothing of it may stay behind."""
    before = segments()
    arguments = command(run_dir, target, *options)
    done = subprocess.run(arguments, text=True, capture_output=True, cwd=run_dir, timeout=LONGEST_S)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    wait_until_nothing_is_left(before)
    return done.stdout


def found(run_dir: Path, run: str | None, origin: Origin) -> list[tuple[EvaluationRow, Scores]]:
    """A run's evaluations with their samples, or those of models of no run."""
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        rows = queries.evaluations(reader, None if run is None else queries.run(reader, run).run.id)
        return [(row, queries.evaluation_scores(reader, row.id, REWARD)) for row in rows if row.origin == origin]


def samples_there(run_dir: Path) -> int:
    return sum(row.samples for row, _ in found(run_dir, "arithmetic/spo", Origin.EVALUATION))


def texts(run_dir: Path, evaluation: EvaluationRow) -> list[tuple[int, int, int, str | None]]:
    """Every sample's place, number, seed and response."""
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        samples = queries.evaluation_samples(reader, evaluation.id)
    return [(each.place, each.sample, each.seed, each.response) for each in samples]


def test_a_run_is_validated_and_evaluated_sample_by_sample(validated: Path) -> None:
    name = "arithmetic/validated"
    before, _, (after, scores) = found(validated, name, Origin.VALIDATION)
    assert (before[0].step, after.step, after.wanted, after.samples) == (0, 2, 2, 2 * PROBLEMS)
    assert before[0].problems_digest == after.problems_digest
    with open_reader(f"sqlite:///{validated}/verl_spo.db") as reader:
        run = queries.run(reader, name).run
        (series,) = queries.metric_series(reader, [run.id], ["val-core/arithmetic/acc/mean@2"]).series
    # What verl reports is the mean of what was kept.
    assert series.values[-1] == pytest.approx(scores.score.mean())
    assert set(scores.finish) == {Finish.STOP}

    as_trained = ("--samples", "3", "--as-trained")
    # So few tokens at a time that many a prompt does not fit beside the others.
    cramped = ("actor_rollout_ref.rollout.max_num_batched_tokens=64", "actor_rollout_ref.rollout.max_num_seqs=16")
    said = evaluate(validated, name, *as_trained, *cramped)
    assert f"verl-spo report {name}" in said
    ((row, drawn),) = found(validated, name, Origin.EVALUATION)
    assert (row.step, row.wanted, row.samples) == (2, 3, 3 * PROBLEMS)
    assert row.settings["temperature"] == 1
    assert 0 < drawn.score.mean() < 1
    kept = texts(validated, row)
    assert len({seed for _, _, seed, _ in kept}) == 3 * PROBLEMS
    # The first samples have the seeds that they had in validation: the same weights give the same answers.
    assert {each for each in kept if each[1] == 0} == {each for each in texts(validated, after) if each[1] == 0}
    assert "all samples are there" in evaluate(validated, name, *as_trained)
    assert texts(validated, row) == kept
    report = [sys.executable, "-m", "verl_spo", "report", name, "--db", f"sqlite:///{validated}/verl_spo.db"]
    written = subprocess.run([*report, "--to", "html"], text=True, capture_output=True, check=True).stdout
    assert "avg@3" in written


@pytest.mark.long
def test_an_evaluation_that_is_killed_goes_on_without_a_sample_lost_or_doubled(
    run_dir: Path, train: Callable[..., int]
) -> None:
    train("spo", *STEPS)
    options = ("--samples", "64", "++evaluation.in_flight=16")
    with (run_dir / "evaluate.log").open("w") as log:
        process = subprocess.Popen(command(run_dir, "arithmetic/spo", *options), stdout=log, stderr=log, cwd=run_dir)
    kill_when(lambda folder: samples_there(folder) > 100, process, run_dir, run_dir / "evaluate.log")
    there = samples_there(run_dir)
    assert 100 < there < 64 * PROBLEMS
    ((row, _),) = found(run_dir, "arithmetic/spo", Origin.EVALUATION)
    before = set(texts(run_dir, row))
    evaluate(run_dir, "arithmetic/spo", *options)
    after = texts(run_dir, row)
    assert before < set(after)
    assert len(after) == 64 * PROBLEMS == len({(place, number) for place, number, _, _ in after})


@pytest.mark.long
def test_a_megatron_checkpoint_and_a_model_are_evaluated(run_dir: Path, train: Callable[..., int]) -> None:
    train("tp2", *STEPS, recipe="cpu/arithmetic_spo_megatron_tp2")
    evaluate(run_dir, "arithmetic/tp2", "--samples", "2")
    ((row, scores),) = found(run_dir, "arithmetic/tp2", Origin.EVALUATION)
    assert (row.step, row.samples) == (2, 2 * PROBLEMS)
    recipe = ("--recipe", small.RECIPE, f"++demo_dir={run_dir}", *small.OVERRIDES)
    evaluate(run_dir, run_dir / "model", "--samples", "2", *recipe)
    ((model, others),) = found(run_dir, None, Origin.EVALUATION)
    assert (model.step, model.model, model.samples) == (0, str(run_dir / "model"), 2 * PROBLEMS)
    assert 0 < np.mean(others.score) < 1
    assert scores.score.shape == others.score.shape


@pytest.mark.long
def test_a_run_with_tools_is_evaluated_with_its_tools(run_dir: Path, train: Callable[..., int]) -> None:
    train("turns", *TOOLS, "data.max_prompt_length=32", "trainer.total_training_steps=1", "trainer.save_freq=1")
    evaluate(run_dir, "arithmetic/turns", "--samples", "4", "--as-trained")
    ((row, scores),) = found(run_dir, "arithmetic/turns", Origin.EVALUATION)
    assert (row.step, row.samples) == (1, 4 * PROBLEMS)
    assert row.settings["agent_loop"] == "tool_agent"
    assert set(scores.finish) <= {Finish.STOP, Finish.LENGTH}
    # What a tool answered stands between the model's turns.
    assert any(BETWEEN_TURNS.search(text or "") for _, _, _, text in texts(run_dir, row))
