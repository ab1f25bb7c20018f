"""A training run with checkpoints in a process of its own, to be killed at any moment."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from tests.support.faults import away
from tests.support.stores import Training, start
from verl_spo.errors import StoreError
from verl_spo.store.runs.status import Status

CHECKPOINT_EVERY = 4

BEGAN = "began"

# Children come from a process that has imported everything and has no threads: quick to start, safe to fork.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.support.crashing"])


def train(url: str, folder: Path, steps: int, report: Connection) -> None:
    """Train to a step, from the last checkpoint if there is one; say so after every record."""
    _spool_in(folder)
    training = restore(folder)
    resume_step = training.step or None
    writer = start(url, training, resume_step=resume_step)
    report.send(training.step)
    while training.step < steps:
        writer.submit(training.advance())
        report.send(training.step)
        writer.log(training.step, {"timing_s/step": float(training.step)})
        if training.step % CHECKPOINT_EVERY == 0:
            writer.settle()
            save(folder, training)
            writer.secure()
    writer.close(Status.FINISHED)


def checkpoint_without_database(url: str, folder: Path, told: Connection) -> None:
    """Make a checkpoint, then another one while the database is away, stage by stage, and wait at each to be killed."""
    _spool_in(folder)
    training = Training()
    writer = start(url, training)
    for _ in range(CHECKPOINT_EVERY):
        writer.submit(training.advance())
    writer.flush()
    save(folder, training)
    with away():
        for _ in range(CHECKPOINT_EVERY):
            writer.submit(training.advance())
        stages = {"settled": writer.settle, "declared": lambda: save(folder, training), "secured": writer.secure}
        for stage, act in stages.items():
            act()
            told.send(stage)
            told.recv()


def begin(work: Callable[..., None], *given: object) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """Start a function in a process of its own; its last argument is its end of a connection with this one."""
    ours, theirs = processes.Pipe()
    child = processes.Process(target=work, args=(*given, theirs))
    child.start()
    theirs.close()
    return child, ours


def begin_together(url: str, count: int) -> list[tuple[multiprocessing.process.BaseProcess, Connection]]:
    """Start processes that all begin one run at the same moment; each says how that went, and goes on when told to."""
    children = [begin(_hold, url) for _ in range(count)]
    for _, told in children:
        assert told.recv() == "ready"
    for _, told in children:
        told.send("begin")
    return children


def _hold(url: str, told: Connection) -> None:
    training = Training()
    told.send("ready")
    told.recv()
    try:
        writer = start(url, training)
    except StoreError as refused:
        told.send(str(refused))
        return
    told.send(BEGAN)
    told.recv()
    for _ in range(3):
        writer.submit(training.advance())
    writer.close(Status.FINISHED)


def _spool_in(folder: Path) -> None:
    # The server that forks children has an environment of its own.
    os.environ["VERL_SPO_SPOOL_DIR"] = str(folder)


def save(folder: Path, training: Training) -> None:
    """A checkpoint, whole or not at all."""
    unfinished = folder / "unfinished.npz"
    with unfinished.open("wb") as file:
        np.savez(file, step=training.step, **training.tracker.state_dict())
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / "checkpoint.npz")


def restore(folder: Path) -> Training:
    """The training of the last checkpoint, or a new one."""
    training = Training()
    if (folder / "checkpoint.npz").exists():
        with np.load(folder / "checkpoint.npz") as stored:
            state = dict(stored)
        training.step = int(state.pop("step"))
        training.tracker.load_state_dict(state)
    return training
