"""One run of real verl: a process of its own, whose saved models the lab then looks at."""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from benchmarks.learning.lab.loop import Setting, breadth, identity, look
from benchmarks.learning.lab.methods import GROUP, Variant
from benchmarks.learning.lab.policy import Policy
from benchmarks.learning.lab.task import Task
from benchmarks.learning.rows import Curve, Row
from verl_spo.launching import launch
from verl_spo.launching.recipes import override

Logged = dict[str, list[float]]


@dataclass(frozen=True)
class Files:
    """Where a run finds what it starts from, and leaves what it made.

    Attributes:
        model: The starting policy.
        data: The prompt set.
        run: Made anew: checkpoints, rollouts, verl's log, the store.
    """

    model: Path
    data: Path
    run: Path

    @property
    def checkpoints(self) -> Path:
        """verl's folder of `global_step_N`."""
        return self.run / "checkpoints"

    @property
    def rollouts(self) -> Path:
        """verl's dump, a file per step."""
        return self.run / "rollouts"

    @property
    def log(self) -> Path:
        """Of verl's `file` logger: a line per step."""
        return self.run / "metrics.jsonl"

    @property
    def database(self) -> Path:
        """The run's own store."""
        return self.run / "verl_spo.db"


def run(task: Task, setting: Setting, variant: Variant, seed: int, files: Files) -> Row:
    """Train once by verl, then look at the models that it saved.

    Raises:
        RuntimeError: verl failed; its output is in the run's folder.
    """
    begin(files)
    train(recipe_of(variant), files, overrides(setting, variant, seed, files))
    logged = read_log(files.log)
    passes = len(logged["timing_s/spo_rescore"]) / setting.steps
    return Row.from_curve(
        read_curve(task, setting, files.checkpoints),
        setting.batch,
        tier="verl",
        **identity(task, setting, variant, seed),
        degenerate=float(np.mean(logged["spo/no_signal"])) if variant.is_spo else degenerate_groups(files.rollouts),
        extra_logprob_passes=passes,
        metrics={**means(logged), **breadth(task, read_policy(task, files.checkpoints, setting.steps))},
    )


def train(recipe: str, files: Files, given: Sequence[str], **variables: str) -> None:
    """Train once by verl, in the run's folder, with these overrides and variables.

    Raises:
        RuntimeError: verl failed; its output is in the run's folder.
    """
    prepared = launch.prepare(recipe, list(given))
    variables["VERL_FILE_LOGGER_PATH"] = str(files.log)
    ended = replace(prepared, environment={**prepared.environment, **variables}).run(files.run / "output.log")
    if ended.status:
        raise RuntimeError(ended.message)


def begin(files: Files) -> None:
    """Make the run's folder anew."""
    shutil.rmtree(files.run, ignore_errors=True)
    files.run.mkdir(parents=True)


def agent_loop(files: Files, name: str, **made: object) -> list[str]:
    """Overrides by which an agent loop, as Hydra makes it, answers every prompt."""
    config = files.run / "agent_loops.yaml"
    config.write_text(json.dumps([{"name": name, **made}]))
    agent = "actor_rollout_ref.rollout.agent"
    return [f"{agent}.agent_loop_config_path={config}", f"{agent}.default_agent_loop={name}"]


def recipe_of(variant: Variant) -> str:
    """The recipe that trains a line of the table."""
    return "cpu/arithmetic_spo" if variant.is_spo else f"cpu/arithmetic_{variant.method}"


def overrides(setting: Setting, variant: Variant, seed: int, files: Files) -> list[str]:
    """What a run changes in its recipe."""
    given = [
        *(override(name, path) for name, path in (
            ("data.train_files", files.data / "train.parquet"),
            ("data.val_files", files.data / "validation.parquet"),
            ("actor_rollout_ref.model.path", files.model),
            ("trainer.default_local_dir", files.checkpoints),
            ("trainer.rollout_data_dir", files.rollouts),
        )),
        "trainer.logger=[console,file]",
        f"trainer.total_training_steps={setting.steps}",
        f"trainer.save_freq={setting.evaluate_every}",
        "trainer.max_actor_ckpt_to_keep=null",
        "actor_rollout_ref.actor.checkpoint.save_contents=[hf_model]",
        "trainer.test_freq=-1",
        "trainer.val_before_train=False",
        f"actor_rollout_ref.actor.optim.lr={setting.lr}",
        f"actor_rollout_ref.actor.data_loader_seed={seed}",
        f"actor_rollout_ref.rollout.seed={seed}",
        f"data.seed={seed}",
    ]  # fmt: skip
    if not variant.is_spo:
        return given
    return [
        *given,
        override("spo.store.url", f"sqlite:///{files.database}"),
        f"spo.seed={seed}",
        f"spo.baseline={variant.baseline}",
        f"spo.retention={variant.retention}",
        f"spo.normalization={variant.normalization}",
    ]


def read_curve(task: Task, setting: Setting, checkpoints: Path) -> Curve:
    """Exact success rates of the starting policy and of every model saved."""
    torch.set_num_threads(1)
    curve = [look(task, task.policy(), 0)]
    for step in range(setting.evaluate_every, setting.steps + 1, setting.evaluate_every):
        curve.append(look(task, read_policy(task, checkpoints, step), step))
    return curve


def read_policy(task: Task, checkpoints: Path, step: int) -> Policy:
    """A model that verl has saved."""
    folder = checkpoints / f"global_step_{step}" / "actor" / "huggingface"
    return task.policy(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def read_log(path: Path) -> Logged:
    """verl's metrics by name, in order of the steps."""
    logged: Logged = defaultdict(list)
    for line in path.read_text().splitlines():
        for name, value in json.loads(line)["data"].items():
            logged[name].append(value)
    return logged


_KEPT = {
    "batch_reward": "critic/score/mean",
    "explained_variance": "spo/explained_variance",
    "drift": "actor/log_ratio_abs",
    "step_s": "timing_s/step",
    "generation_s": "timing_s/gen",
    "rescore_s": "timing_s/spo_rescore",
}


def means(logged: Logged) -> dict[str, float]:
    """Means over the run of what helps to understand it."""
    return {name: float(np.mean(logged[metric])) for name, metric in _KEPT.items() if logged[metric]}


def degenerate_groups(rollouts: Path) -> float:
    """Share of GRPO's groups whose rewards are all the same."""
    spreads = [np.ptp(group) for path in rollouts.glob("*.jsonl") for group in _groups(path)]
    return float(np.mean([spread == 0 for spread in spreads]))


def _groups(path: Path) -> Iterator[Sequence[float]]:
    scores = [json.loads(line)["score"] for line in path.read_text().splitlines()]
    # verl sorts its dump by prompt.
    return (scores[start : start + GROUP] for start in range(0, len(scores), GROUP))
