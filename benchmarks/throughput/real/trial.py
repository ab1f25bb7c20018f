"""How long real verl takes for a step whose sessions wait for a tool, by algorithm and trainer."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.learning.lab.loop import Setting
from benchmarks.learning.lab.methods import GROUP, Variant
from benchmarks.learning.real import trial
from benchmarks.learning.report import Estimate
from benchmarks.throughput.real.waiting import NAME, WaitingAgentLoop
from benchmarks.throughput.report import table
from verl_spo.launching import launch
from verl_spo.simulation import collecting as simulation
from verl_spo.simulation.collecting import Rest
from verl_spo.simulation.durations import Lognormal
from verl_spo.simulation.sessions import Sessions
from verl_spo.simulation.throughput import compare

RESULTS = Path(__file__).parents[2] / "results" / "throughput_measured.json"
MEAN_S, SIGMA = 6.0, 0.8
SETTING = Setting("waiting", batch=32, steps=12)
WARM = 3
"""Steps that do not count: asynchronous trainers begin with nothing in flight."""

_SEPARATE = (
    "actor_rollout_ref.hybrid_engine=False",
    "actor_rollout_ref.rollout.nnodes=1",
    "actor_rollout_ref.rollout.n_gpus_per_node=1",
    "actor_rollout_ref.rollout.checkpoint_engine.backend=shared_memory",
    "actor_rollout_ref.rollout.checkpoint_engine.custom_backend_module=verl_spo.cpu.weights",
    "trainer.v1.separate_async.parameter_sync_step=1",
    "ray_kwargs.ray_init.num_gpus=2",
)


# What the simulation calls verl's trainers.
_RESTS = {"sync": Rest.NONE, "colocate_async": Rest.PARTIAL, "separate_async": Rest.CONTINUOUS}


@dataclass(frozen=True)
class Way:
    """An algorithm in one of verl's trainers."""

    algorithm: str
    mode: str

    @property
    def variant(self) -> Variant:
        """The algorithm as the learning benchmark names it: SPO++, which needs no pass of its own."""
        return Variant("spo", "event", "token") if self.algorithm == "spo" else Variant(self.algorithm)

    @property
    def group(self) -> int:
        """Responses to a prompt."""
        return 1 if self.algorithm == "spo" else GROUP

    @property
    def simulated(self) -> simulation.Way:
        """The same as it is simulated."""
        return simulation.Way(grouped=self.group > 1, rest=_RESTS[self.mode])

    def __str__(self) -> str:
        return f"{self.algorithm}, {self.mode}"


WAYS = (
    Way("grpo", "sync"),
    Way("grpo", "separate_async"),
    Way("spo", "sync"),
    Way("spo", "colocate_async"),
    Way("spo", "separate_async"),
)


@dataclass(frozen=True)
class Measured:
    """What one run came to.

    Attributes:
        way: The way's name.
        seed: Of the run.
        seconds: Of wall-clock per step, after `WARM` steps.
        staleness: Policy versions that a trajectory is behind, mean.
        begun: Sessions that were begun, in those that were trained on.
        tokens: Response tokens that a step trains on.
        reward: Mean over the steps that count.
        update: Seconds of a step in which the trainer does not wait for rollouts.
    """

    way: str
    seed: int
    seconds: float
    staleness: float
    begun: float
    tokens: float
    reward: float
    update: float


def measure(way: Way, seed: int, files: trial.Files) -> Measured:
    """Train once.

    Raises:
        RuntimeError: verl failed; its output is in the run's folder.
    """
    shutil.rmtree(files.run, ignore_errors=True)
    files.run.mkdir(parents=True)
    prepared = launch.prepare(trial.recipe_of(way.variant), overrides(way, seed, files))
    # What verl 0.9.1's separate_async says without replicas on the trainer's device ends in a TypeError (`flush=True`).
    variables = {"VERL_FILE_LOGGER_PATH": str(files.log), "VERL_LOGGING_LEVEL": "WARN"}
    prepared = replace(prepared, environment={**prepared.environment, **variables})
    ended = prepared.run(files.run / "output.log")
    if ended.status:
        raise RuntimeError(ended.message)
    return read(way, seed, files)


def overrides(way: Way, seed: int, files: trial.Files) -> list[str]:
    """What a run changes in its recipe."""
    prompts = SETTING.batch // way.group
    loop = f"{WaitingAgentLoop.__module__}.{WaitingAgentLoop.__qualname__}"
    made = {"name": NAME, "_target_": loop, "mean_s": MEAN_S, "sigma": SIGMA, "begun": str(begun(files))}
    config = files.run / "agent_loops.yaml"
    config.write_text(json.dumps([made]))
    return [
        *trial.overrides(SETTING, way.variant, seed, files),
        "trainer.save_freq=-1",
        f"trainer.v1.trainer_mode={'spo_' if way.algorithm == 'spo' else ''}{way.mode}",
        f"data.train_batch_size={prompts}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={prompts}",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={config}",
        f"actor_rollout_ref.rollout.agent.default_agent_loop={NAME}",
        *(_SEPARATE if way.mode == "separate_async" else ()),
    ]


def begun(files: trial.Files) -> Path:
    """The file that counts a run's sessions."""
    return files.run / "begun"


def read(way: Way, seed: int, files: trial.Files) -> Measured:
    """What a run has left: verl writes a file of rollouts when a step has ended."""
    first, last = (files.rollouts / f"{step}.jsonl" for step in (WARM, SETTING.steps))
    logged = {name: values[WARM:] for name, values in trial.read_log(files.log).items()}
    staleness = logged.get("training/off_policy/trajectory_staleness/mean", [0.0])
    return Measured(
        str(way),
        seed,
        seconds=(last.stat().st_mtime - first.stat().st_mtime) / (SETTING.steps - WARM),
        staleness=float(np.mean(staleness)),
        begun=begun(files).stat().st_size / (SETTING.batch * SETTING.steps),
        tokens=SETTING.batch * float(np.mean(logged["response_length/mean"])),
        reward=float(np.mean(logged["critic/score/mean"])),
        update=float(np.mean(np.subtract(logged["timing_s/step"], logged["timing_s/gen"]))),
    )


def save(measured: Sequence[Measured], path: Path = RESULTS) -> None:
    """Write rows, one a line."""
    path.write_text("[\n" + ",\n".join(json.dumps(asdict(row)) for row in measured) + "\n]\n")


def load(path: Path = RESULTS) -> list[Measured]:
    """Read what `save` wrote; nothing, if nothing has been measured."""
    return [Measured(**row) for row in json.loads(path.read_text())] if path.exists() else []


def report(measured: Sequence[Measured]) -> str:
    """Markdown: a line a way, with how many times it is as fast as GRPO that waits, seed by seed, and as simulated."""
    waiting = {row.seed: row for row in measured if row.way == str(WAYS[0])}
    update = float(np.mean([row.update for row in waiting.values()]))
    lines = []
    for way in WAYS:
        rows = [row for row in measured if row.way == str(way) and row.seed in waiting]
        if rows:
            ratios = [waiting[row.seed].seconds / row.seconds for row in rows]
            lines.append([*_figures(way, rows), _estimate(ratios, 2), _simulated(way, update)])
    head = ["algorithm", "trainer", "seeds", "seconds a step", "staleness", "begun", "tokens a step"]
    return table([*head, "times as fast", "simulated"], lines)


def _figures(way: Way, rows: Sequence[Measured]) -> list[str]:
    return [
        way.algorithm.upper(),
        f"`{way.mode}`",
        str(len(rows)),
        _estimate([row.seconds for row in rows], 1),
        _estimate([row.staleness for row in rows], 2),
        _estimate([row.begun for row in rows], 2),
        _estimate([row.tokens for row in rows], 0),
    ]


def _simulated(way: Way, update: float) -> str:
    """How many times as fast a way is where all that is open has a slot, and an update takes so many seconds."""
    setting = simulation.Setting(SETTING.batch, GROUP, slots=2 * SETTING.batch, update=update)
    (found,) = compare(setting, Sessions(Lognormal(MEAN_S, SIGMA)), batches=100, seeds=10, ways=[way.simulated])
    return f"{found.ratio.mean:.2f}"


def _estimate(values: Sequence[float], digits: int) -> str:
    found = Estimate.of(values)
    mean = f"{found.mean:.{digits}f}"
    return mean if np.isnan(found.half) else f"{mean} ± {found.half:.{digits}f}"
