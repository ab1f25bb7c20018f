"""One run of real verl whose sessions wait for a tool, by algorithm and trainer."""

from pathlib import Path

import numpy as np

from benchmarks.learning.lab.loop import Setting
from benchmarks.learning.lab.methods import Variant
from benchmarks.learning.real import trial
from benchmarks.throughput.real.results import BATCH, MEAN_S, SIGMA, STEPS, WARM, Measured, Way
from benchmarks.throughput.real.waiting import NAME, WaitingAgentLoop

SETTING = Setting("waiting", batch=BATCH, steps=STEPS)

_SEPARATE = (
    "actor_rollout_ref.hybrid_engine=False",
    "actor_rollout_ref.rollout.nnodes=1",
    "actor_rollout_ref.rollout.n_gpus_per_node=1",
    "actor_rollout_ref.rollout.checkpoint_engine.backend=shared_memory",
    "actor_rollout_ref.rollout.checkpoint_engine.custom_backend_module=verl_spo.cpu.weights",
    "trainer.v1.separate_async.parameter_sync_step=1",
    "ray_kwargs.ray_init.num_gpus=2",
)


def measure(way: Way, seed: int, files: trial.Files) -> Measured:
    """Train once.

    Raises:
        RuntimeError: verl failed; its output is in the run's folder.
    """
    trial.begin(files)
    # What verl 0.9.1's separate_async says without replicas on the trainer's device ends in a TypeError (`flush=True`).
    given = overrides(way, seed, files)
    trial.train(trial.recipe_of(variant_of(way)), files, given, VERL_LOGGING_LEVEL="WARN")
    return read(way, seed, files)


def variant_of(way: Way) -> Variant:
    """The algorithm as the learning benchmark names it: SPO++, which needs no pass of its own."""
    return Variant("spo", "event", "token") if way.algorithm == "spo" else Variant(way.algorithm)


def overrides(way: Way, seed: int, files: trial.Files) -> list[str]:
    """What a run changes in its recipe."""
    prompts = BATCH // way.group
    loop = f"{WaitingAgentLoop.__module__}.{WaitingAgentLoop.__qualname__}"
    made = {"_target_": loop, "mean_s": MEAN_S, "sigma": SIGMA, "begun": str(begun(files))}
    return [
        *trial.overrides(SETTING, variant_of(way), seed, files),
        "trainer.save_freq=-1",
        f"trainer.v1.trainer_mode={'spo_' if way.algorithm == 'spo' else ''}{way.mode}",
        f"data.train_batch_size={prompts}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={prompts}",
        *trial.agent_loop(files, NAME, **made),
        *(_SEPARATE if way.mode == "separate_async" else ()),
    ]


def begun(files: trial.Files) -> Path:
    """The file that counts a run's sessions."""
    return files.run / "begun"


def read(way: Way, seed: int, files: trial.Files) -> Measured:
    """What a run has left: verl writes a file of rollouts when a step has ended."""
    first, last = (files.rollouts / f"{step}.jsonl" for step in (WARM, STEPS))
    logged = {name: values[WARM:] for name, values in trial.read_log(files.log).items()}
    staleness = logged.get("training/off_policy/trajectory_staleness/mean", [0.0])
    return Measured(
        str(way),
        seed,
        seconds=(last.stat().st_mtime - first.stat().st_mtime) / (STEPS - WARM),
        staleness=float(np.mean(staleness)),
        begun=begun(files).stat().st_size / (BATCH * STEPS),
        tokens=BATCH * float(np.mean(logged["response_length/mean"])),
        reward=float(np.mean(logged["critic/score/mean"])),
        update=float(np.mean(np.subtract(logged["timing_s/step"], logged["timing_s/gen"]))),
    )
