"""A training session with checkpoints in a process of its own, to be killed at any moment."""

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from tests.support.stores import Training, start
from verl_spo.errors import StoreError

CHECKPOINT_EVERY = 4

BEGAN = "began"

# Children come from a process that has imported everything and has no threads: quick to start, safe to fork.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.support.crashing"])


def train(url: str, folder: Path, steps: int, report: Connection) -> None:
    """Train to a step, from the last checkpoint if there is one; say so after every record."""
    training = restore(folder)
    resume_step = training.step or None
    writer = start(url, training, resume_step=resume_step)
    report.send(training.step)
    while training.step < steps:
        writer.submit(training.advance())
        report.send(training.step)
        writer.log(training.step, {"timing_s/step": float(training.step)})
        if training.step % CHECKPOINT_EVERY == 0:
            writer.flush()
            save(folder, training)
    writer.close("finished")


def begin(url: str, folder: Path, steps: int) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """Start `train` in a process of its own."""
    receiver, sender = processes.Pipe(duplex=False)
    child = processes.Process(target=train, args=(url, folder, steps, sender))
    child.start()
    sender.close()
    return child, receiver


def begin_together(url: str, count: int) -> list[tuple[multiprocessing.process.BaseProcess, Connection]]:
    """Start processes that all begin one run at the same moment; each says how that went, and goes on when told to."""
    children = []
    for _ in range(count):
        ours, theirs = processes.Pipe()
        child = processes.Process(target=_hold, args=(url, theirs))
        child.start()
        theirs.close()
        children.append((child, ours))
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
    writer.close("finished")


def save(folder: Path, training: Training) -> None:
    """A checkpoint, whole or not at all."""
    unfinished = folder / "unfinished.npz"
    with unfinished.open("wb") as file:
        np.savez(file, step=training.step, **training.tracker.state_dict())
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / "checkpoint.npz")


def restore(folder: Path) -> Training:
    """The session of the last checkpoint, or a new one."""
    training = Training()
    if (folder / "checkpoint.npz").exists():
        with np.load(folder / "checkpoint.npz") as stored:
            state = dict(stored)
        training.step = int(state.pop("step"))
        training.tracker.load_state_dict(state)
    return training
