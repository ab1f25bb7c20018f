"""Make a model without its weights, in a process of its own, and count.

The process has a fake process group of as many ranks as the recipe, and everything in it lies on torch's meta device:
an 8 B model takes a second and no memory. What that does to torch and to megatron-core's global state stays there. The
process lives as long as the one that asks it: what it imports takes longer than any model.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from verl_spo.errors import ConfigError
from verl_spo.planning.settings import Training
from verl_spo.training.parallelism import Parallelism

_CHILD = "verl_spo.planning.child"
_ENVIRONMENT = {
    # No accelerator is looked for, and no plug-in loaded: the process only counts.
    "CUDA_VISIBLE_DEVICES": "",
    "VERL_USE_EXTERNAL_PLUGINS": "none",
    "HF_HUB_OFFLINE": "1",
}

_IDLE: list[tuple[subprocess.Popen[str], IO[str]]] = []
"""The process that waits for a question, if there is one."""


@dataclass(frozen=True)
class Stage:
    """What one rank of a pipeline stage holds.

    Attributes:
        parameters: How many, shared ones once.
        trained: How many of them the optimizer knows.
        layers: Decoder layers.
        embeds: Whether it has the embedding.
        outputs: Whether it has the output layer.
    """

    parameters: int
    trained: int
    layers: int
    embeds: bool
    outputs: bool


@dataclass(frozen=True)
class Built:
    """A model that was built.

    Attributes:
        stages: The first and the last pipeline stage, or the only one. FSDP's is the whole model.
        flops: Of the forward and backward pass of the sequences that were asked for, by verl's counter.
    """

    stages: tuple[Stage, ...]
    flops: float


def build(folder: Path, training: Training, sequences: Sequence[int]) -> Built:
    """Build the model as a recipe spreads it.

    Args:
        folder: With its `config.json`.
        training: How it is spread.
        sequences: Lengths to count the FLOPs of, in tokens; without any verl is not imported, which takes seconds.

    Raises:
        ConfigError: megatron-core or Hugging Face refuses, or megatron-core is not installed.
    """
    asked = {
        "folder": str(folder),
        "layout": asdict(training.layout),
        "transformer": training.transformer,
        "adapters": training.adapters,
        "sequences": list(sequences),
    }
    answer = _ask(asked)
    if "refused" in answer:
        raise ConfigError(f"{_named(training.layout)}: the model cannot be built: {answer['refused']}")
    return Built(tuple(Stage(**each) for each in answer["stages"]), answer["flops"])


def _ask(asked: dict[str, Any]) -> dict[str, Any]:
    # One whose answer nobody waited for is not asked again.
    child, said = _IDLE.pop() if _IDLE else _start()
    with suppress(BrokenPipeError):
        print(json.dumps(asked), file=child.stdin, flush=True)
    line = child.stdout.readline()  # type: ignore[union-attr]
    if not line:
        status = child.wait()
        said.seek(0)
        raise ConfigError(
            f"the model cannot be built: the process that tried ended with status {status}\n{said.read()[-2000:]}"
        )
    _IDLE.append((child, said))
    answer: dict[str, Any] = json.loads(line)
    return answer


def _start() -> tuple[subprocess.Popen[str], IO[str]]:
    """A process, which ends when nobody is left to ask it, and the file of what its libraries say."""
    said = TemporaryFile("w+")  # noqa: SIM115 - as long as the process
    child = subprocess.Popen(
        [sys.executable, "-m", _CHILD],
        env={**os.environ, **_ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
    )
    return child, said


def _named(layout: Parallelism) -> str:
    if layout.engine == "fsdp":
        return "actor_rollout_ref.model"
    return (
        f"actor_rollout_ref.actor.megatron at TP {layout.tensor}, PP {layout.pipeline}, CP {layout.context}, "
        f"VPP {layout.virtual}"
    )
