"""`verl-spo demo`: the main job from nothing to a trained model, on a CPU, with the dashboard beside it."""

import signal
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from verl_spo.cli import data
from verl_spo.cli.extras import require
from verl_spo.cli.train import told, with_progress
from verl_spo.errors import DataError
from verl_spo.launching import recipes
from verl_spo.store import open_reader, queries
from verl_spo_dashboard.server import serve

RECIPE = "cpu/arithmetic_spo"
WANTED_POINTS = 8.0
ACCURACY = "val-core/arithmetic/acc/mean@1"
NOT_LEARNT = 1
# Device files of the kernel drivers: asking torch would take seconds, and a CPU build of it would deny them.
ACCELERATORS = {"nvidia[0-9]*": "an NVIDIA GPU", "kfd": "an AMD GPU", "davinci[0-9]*": "an Ascend NPU"}


@dataclass(frozen=True)
class Gain:
    """Validation accuracy of a run, first and last, in [0, 1]."""

    first: float
    last: float

    @property
    def points(self) -> float:
        """Percentage points gained."""
        return 100 * (self.last - self.first)

    def __str__(self) -> str:
        return f"validation accuracy {self.first:.2f} -> {self.last:.2f}, {self.points:+.1f} points"


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for data, model, checkpoints and database.")] = Path(
        "demo"
    ),
    port: Annotated[int | None, typer.Option(help="Port of the dashboard; by default a free one.")] = None,
    stay: Annotated[
        bool | None, typer.Option(help="Keep the dashboard up afterwards; by default at a terminal.")
    ] = None,
) -> None:
    """Train a tiny model with SPO on real verl and real vLLM, and watch it in the browser.

    An interrupted demo is resumed, a finished one is followed by a new run beside it. Further arguments are Hydra
    overrides. Exit status 0 only if validation accuracy rose by 8 points or more.
    """
    require("verl", "dashboard", "cpu")
    from verl_spo.launching import launch
    from verl_spo.training import verl_options

    console = Console(highlight=False)
    if found := find_accelerator():
        console.print(
            f"this machine has {found}; the demo trains on the CPU all the same. "
            "For the accelerator: verl-spo train gpu/arithmetic_spo_fsdp, with the demo's data and model"
        )
    folder = folder.resolve()
    data.arithmetic(folder / "data")
    data.tiny_model(folder / "model", folder / "data")
    overrides = [recipes.override("demo_dir", folder), *context.args]
    prepared = launch.prepare(RECIPE, [*overrides, f"trainer.experiment_name={_experiment(folder, overrides)}"])
    store_url = verl_options.spo_config(prepared.config).store.url
    with serve(store_url, port=port) as server:
        console.print(f"dashboard: [bold]{server.address}[/]", soft_wrap=True)
        if status := told(with_progress(prepared)):
            raise typer.Exit(status)
        gain = read_gain(store_url, verl_options.run_name(prepared.config))
        if sys.stdin.isatty() if stay is None else stay:
            console.print(f"the dashboard stays at [bold]{server.address}[/] until Ctrl-C", soft_wrap=True)
            console.print(str(gain))
            _wait_for_interrupt()
        else:
            console.print(str(gain))
    raise typer.Exit(0 if gain.points >= WANTED_POINTS else NOT_LEARNT)


def find_accelerator(devices: Path = Path("/dev")) -> str | None:
    """The kind of accelerator that this machine has, or None."""
    return next((kind for pattern, kind in ACCELERATORS.items() if any(devices.glob(pattern))), None)


def read_gain(store_url: str, run_name: str) -> Gain:
    """First and last validation accuracy of a run, from the store.

    Raises:
        DataError: The run was not validated twice.
    """
    with open_reader(store_url) as reader:
        run = queries.run(reader, run_name).run
        series = queries.metric_series(reader, [run.id], [ACCURACY]).series
    if not series or len(series[0].values) < 2:
        raise DataError(f"run {run_name!r}: needs two validations, before and after; see trainer.test_freq")
    return Gain(float(series[0].values[0]), float(series[0].values[-1]))


def _experiment(folder: Path, overrides: list[str]) -> str:
    """The first of spo-1, spo-2, ... that has not been trained to its end."""
    from verl_spo.launching import compose
    from verl_spo.training.verl_options import latest_step

    steps = compose.load(RECIPE, overrides).trainer.total_training_steps
    names = (f"spo-{number}" for number in count(1))
    return next(name for name in names if (latest_step(folder / "checkpoints" / name) or 0) < steps)


def _wait_for_interrupt() -> None:
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.pause()
