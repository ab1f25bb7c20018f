"""A Ray cluster that was there before the run.

Its processes do not inherit the launcher's environment, and those on other nodes are out of the launcher's reach.
"""

import json
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.launching.processes import end_marked
from verl_spo.launching.recipes import override
from verl_spo.training.launcher import MARK

_log = logging.getLogger(__name__)

_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"

CONNECT_S = 10.0
"""Seconds in which a cluster's head takes a connection."""

ANSWER_S = 120.0
"""Seconds for all nodes together; ending one's processes takes up to a minute and a half."""


def joins(config: DictConfig) -> str | None:
    """The address of the cluster that a run will join; None where it starts one of its own."""
    options = config.ray_kwargs.ray_init
    address = os.environ.get("RAY_ADDRESS") or options.get("address")
    if address is None and _noted(options.get("_temp_dir")).is_file():
        address = "auto"
    return None if address == "local" else address


def _noted(folder: str | None) -> Path:
    """Where `ray start` notes its cluster, which Ray joins if it is told of no other (ray/_private/services.py:413)."""
    default = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / "ray"  # noqa: S108
    return (default if folder is None else Path(folder)) / "ray_current_cluster"


def check(config: DictConfig) -> None:
    """Find the note of a cluster that is gone: Ray would wait for it for many minutes.

    Raises:
        ConfigError: The cluster does not answer.
    """
    note = _noted(config.ray_kwargs.ray_init.get("_temp_dir"))
    if joins(config) != "auto" or not note.is_file():
        return
    host, _, port = (address := note.read_text().strip()).rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise ConfigError(
            f"Ray cluster {address}, which {note} notes: does not answer ({error}); `ray stop` forgets it, or set the "
            "variable RAY_ADDRESS, local for a cluster of the run's own"
        ) from error


def hand_on(environment: Mapping[str, str]) -> list[str]:
    """Overrides that give variables to each process of a run, wherever Ray starts it."""
    return [
        override(f"++ray_kwargs.ray_init.runtime_env.env_vars.{name}", value) for name, value in environment.items()
    ]


def hand_on_in_secret(environment: Mapping[str, str]) -> dict[str, str]:
    """A variable of the driver by which Ray gives variables to each process, in no argument and in no output of verl's.

    Ray reads it when the driver joins a cluster (ray/_private/worker.py:1788); within a Ray job it is there already.
    """
    job = json.loads(os.environ.get(_JOB_CONFIG, "{}"))
    runtime_env = job.get("runtime_env") or {}
    variables = {**runtime_env.get("env_vars", {}), **environment}
    return {_JOB_CONFIG: json.dumps({"metadata": {}, **job, "runtime_env": {**runtime_env, "env_vars": variables}})}


@dataclass(frozen=True)
class Answer:
    """What came of a question to a node.

    Attributes:
        host: The node's name.
        value: What it answered.
        error: Why it did not; a `TimeoutError` if it said nothing in time.
    """

    host: str
    value: Any = None
    error: Exception | None = None


def ask_everywhere(address: str, question: Callable[..., Any], *arguments: object) -> list[Answer]:
    """Call a function on every node of a cluster, on all at once.

    Raises:
        ConnectionError: There is no cluster at the address.
    """
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConnectionError(str(error)) from error
    try:
        return _ask(ray, question, arguments)
    finally:
        ray.shutdown()


def _ask(ray: Any, question: Callable[..., Any], arguments: Sequence[object]) -> list[Answer]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(question)
    nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
    asked = {
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(*arguments): host
        for node, host in nodes.items()
    }
    _, silent = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
    answers = []
    for answer, host in asked.items():
        if answer in silent:
            answers.append(Answer(host, error=TimeoutError("does not answer")))
            continue
        try:
            answers.append(Answer(host, ray.get(answer)))
        except ray.exceptions.RayError as error:
            answers.append(Answer(host, error=error))
    return answers


def end_everywhere(mark: str, address: str) -> None:
    """End what carries a launch's mark on every node, and say what may be left."""
    try:
        answers = ask_everywhere(address, end_marked, mark)
    except ConnectionError as error:
        _log.warning("Ray cluster %s: cannot be asked to end the run's processes (%s); %s", address, error, _hint(mark))
        return
    for answer in answers:
        if answer.error:
            _log.warning("node %s: %s; %s", answer.host, answer.error, _hint(mark))
        elif answer.value:
            _log.warning("node %s: %s of this run: still there after SIGKILL", answer.host, ", ".join(answer.value))


def _hint(mark: str) -> str:
    return f"what the run left has {MARK}={mark} in its environment, and shared memory in /dev/shm"
