"""SPO's part of a verl checkpoint: `global_step_N/spo/`, beside verl's data.pt.

Two files, no pickle: `arrays.npz` and `state.json`. The folder appears whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from verl_spo.errors import CheckpointError

FORMAT = 1
FOLDER = "spo"
# verl's part of a checkpoint that `prune` looks for.
WEIGHTS = "actor"


@dataclass(frozen=True)
class Identity:
    """Whose state this is.

    Attributes:
        run_uid: The run's identity in the store.
        run_name: `trainer.project_name/trainer.experiment_name`.
        pool: Fingerprint of the prompt pool, hex.
    """

    run_uid: str
    run_name: str
    pool: str


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's SPO state, as read."""

    identity: Identity
    step: int
    arrays: Mapping[str, np.ndarray]
    values: Mapping[str, Any]


def save(step_folder: Path, checkpoint: Checkpoint) -> None:
    """Write `step_folder/spo`, replacing an older one."""
    target, unfinished = step_folder / FOLDER, step_folder / f".{FOLDER}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    _write(unfinished / "arrays.npz", lambda file: np.savez(file, allow_pickle=False, **checkpoint.arrays))
    document = {"format": FORMAT, "step": checkpoint.step, **vars(checkpoint.identity), "values": checkpoint.values}
    _write(unfinished / "state.json", lambda file: file.write(json.dumps(document).encode()))
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def load(step_folder: Path, run_name: str) -> Checkpoint:
    """Read `step_folder/spo`.

    Raises:
        CheckpointError: It is missing, torn, of another run or of another format.
    """
    folder = step_folder / FOLDER
    document = check(step_folder, run_name)
    with _torn(folder), np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        contents = {name: arrays[name] for name in arrays.files}
    identity = Identity(document["run_uid"], document["run_name"], document["pool"])
    return Checkpoint(identity, document["step"], contents, document["values"])


def check(step_folder: Path, run_name: str) -> dict[str, Any]:
    """Make sure that `load` can be asked, without reading the arrays.

    Returns:
        What `state.json` holds.

    Raises:
        CheckpointError: As `load` does.
    """
    if not step_folder.is_dir():
        raise CheckpointError(
            f"{step_folder}: no such checkpoint; see trainer.default_local_dir and trainer.resume_from_path"
        )
    folder = step_folder / FOLDER
    if not (folder / "state.json").is_file() or not (folder / "arrays.npz").is_file():
        raise CheckpointError(
            f"{step_folder}: no SPO state in it (no {FOLDER}/state.json), so the value tracker is lost; "
            "resume from a checkpoint that SPO wrote, or start anew with trainer.resume_mode=disable"
        )
    with _torn(folder):
        document: dict[str, Any] = json.loads((folder / "state.json").read_text())
    if document.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder}: format {document.get('format')!r}, this version of verl-spo reads {FORMAT}; "
            "resume with the version that wrote it"
        )
    if document["run_name"] != run_name:
        raise CheckpointError(
            f"{folder}: belongs to run {document['run_name']!r}, but this run is {run_name!r}; set "
            "trainer.project_name and trainer.experiment_name to the former, trainer.default_local_dir to another "
            "folder, or trainer.resume_mode=disable"
        )
    return document


def prune(root: Path, step: int) -> None:
    """Remove SPO's state from checkpoints whose weights verl has pruned (`trainer.max_actor_ckpt_to_keep`).

    Where this machine does not even see the weights of `step`, it cannot tell, and removes nothing.
    """
    if not (root / f"global_step_{step}" / WEIGHTS).is_dir():
        return
    for folder in root.glob("global_step_*"):
        if not (folder / WEIGHTS).is_dir():
            shutil.rmtree(folder / FOLDER, ignore_errors=True)


def check_pool(checkpoint: Checkpoint, pool: str, source: Path) -> None:
    """Raises: CheckpointError: The pool is not the one the checkpoint's arrays are about."""
    if checkpoint.identity.pool != pool:
        raise CheckpointError(
            f"{source}: its prompt pool is {checkpoint.identity.pool}, data.train_files give {pool}; "
            "resume with the same files, or carry the values over to a new run with spo.init=run"
        )


@contextmanager
def _torn(folder: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, BadZipFile, EOFError) as error:
        raise CheckpointError(
            f"{folder}: damaged ({error}); resume from an earlier checkpoint with trainer.resume_mode=resume_path"
        ) from error


def _write(path: Path, write: Any) -> None:
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
