"""Two runs that should have done the same: what each did, by its history and its weights."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from verl_spo.demo.arithmetic import read_prompt_set
from verl_spo.demo.generation import generate
from verl_spo.demo.tokenizer import build_tokenizer, encode_questions
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import ObservationRow
from verl_spo.training import checkpoint

STEPS = 4
# Everything of SPO that asks the engine for something: re-scoring (`kl`), gradients' norms (`optimal`), the loss.
OPTIONS = (
    "spo.retention=kl",
    "spo.baseline=optimal",
    "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
    f"trainer.total_training_steps={STEPS}",
    f"trainer.save_freq={STEPS // 2}",
)
METRICS = {
    "actor/grad_norm": 1e-3,
    "actor/entropy": 1e-3,
    "actor/pg_loss": 1e-3,
    "actor/ppo_kl": 1e-3,
    "spo/drift": 1e-3,
    "training/rollout_probs_diff_max": 1e-4,
}
"""What both engines must agree on, and how closely: relative, or absolute where a value is small."""


def rows(run_dir: Path, run: str) -> list[ObservationRow]:
    """What a run did in its first `STEPS` steps, in the order in which it did it."""
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        run_id = queries.run(reader, run).run.id
        found = [
            row
            for prompt in queries.prompts(reader, run_id, limit=1000).rows
            for row in queries.prompt_history(reader, run_id, prompt.prompt_id)
            if not row.superseded and row.step <= STEPS
        ]
    return sorted(found, key=lambda row: (row.step, row.seq))


def metrics(run_dir: Path, run: str) -> dict[str, np.ndarray]:
    """Those of `METRICS`, a value for each of the first `STEPS` steps."""
    with open_reader(f"sqlite:///{run_dir}/verl_spo.db") as reader:
        page = queries.metric_series(reader, [queries.run(reader, run).run.id], list(METRICS))
    return {series.name: series.values[series.steps <= STEPS] for series in page.series}


def column(found: list[ObservationRow], name: str) -> np.ndarray:
    """One field of all rows; NaN for nothing."""
    return np.array([getattr(row, name) for row in found], dtype=float)


def greedy_answers(run_dir: Path, name: str) -> list[str]:
    """What the weights that were exported after `STEPS` steps answer."""
    (weights,) = (run_dir / "checkpoints" / name / f"global_step_{STEPS}").rglob("*.safetensors")
    model = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32).eval()
    tokenizer = build_tokenizer(multiple=8)
    questions = [problem.question for problem in read_prompt_set(run_dir / "data").train]
    answers = generate(model, encode_questions(tokenizer, questions), max_new_tokens=8, temperature=0.0)
    return answers.texts(tokenizer)


def assert_equal_work(run_dir: Path, one: str, other: str) -> None:
    """Two runs asked the same, got the same answers, and learnt the same from them."""
    first, second = rows(run_dir, f"arithmetic/{one}"), rows(run_dir, f"arithmetic/{other}")
    for name in ("step", "prompt_id", "reward", "response_length"):
        np.testing.assert_array_equal(column(second, name), column(first, name), err_msg=name)
    for name in ("baseline", "advantage", "policy_change"):
        np.testing.assert_allclose(column(second, name), column(first, name), rtol=1e-3, atol=1e-5, err_msg=name)
    # Some prompts came back, and their previous responses were scored again.
    assert np.nanmax(column(first, "policy_change")) > 0
    expected, found = metrics(run_dir, f"arithmetic/{one}"), metrics(run_dir, f"arithmetic/{other}")
    assert set(found) == set(expected) == set(METRICS)
    for name, tolerance in METRICS.items():
        np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=1e-4, err_msg=name)


def assert_same_run(run_dir: Path, whole: str, cut: str) -> None:
    """A run that was resumed is bit for bit the one that was not."""
    first, second = rows(run_dir, f"arithmetic/{whole}"), rows(run_dir, f"arithmetic/{cut}")
    for name in ("step", "prompt_id", "reward", "baseline", "advantage", "policy_change"):
        np.testing.assert_array_equal(column(second, name), column(first, name), err_msg=name)
    expected, found = metrics(run_dir, f"arithmetic/{whole}"), metrics(run_dir, f"arithmetic/{cut}")
    for name in set(METRICS) - {"training/rollout_probs_diff_max"}:
        # vLLM's log-probs depend, in the last digits, on what it answers at the same time.
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    folders = [run_dir / "checkpoints" / name / f"global_step_{STEPS}" for name in (whole, cut)]
    np.testing.assert_equal(*(checkpoint.load(folder, f"arithmetic/{folder.parent.name}").state for folder in folders))
