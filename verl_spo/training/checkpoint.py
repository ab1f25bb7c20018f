"""SPO's part of a verl checkpoint: `global_step_N/spo/`, beside verl's data.pt.

Two files, no pickle: `arrays.npz` and `state.json`. The folder appears whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from verl_spo.errors import CheckpointError
from verl_spo.store.records import Parent

FORMAT = 3
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
        parent: Where the run branched from, None if it began by itself.
    """

    run_uid: str
    run_name: str
    pool: str
    parent: Parent | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's SPO state: numpy arrays, and values that JSON can hold, by name (core/spo.py)."""

    identity: Identity
    step: int
    state: Mapping[str, Any]


def save(step_folder: Path, checkpoint: Checkpoint) -> None:
    """Write `step_folder/spo`, replacing an older one."""
    target, unfinished = step_folder / FOLDER, step_folder / f".{FOLDER}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    arrays: dict[str, Any] = {name: value for name, value in checkpoint.state.items() if isinstance(value, np.ndarray)}
    values = {name: value for name, value in checkpoint.state.items() if name not in arrays}
    _write(unfinished / "arrays.npz", lambda file: np.savez(file, **arrays))
    document = {"format": FORMAT, "step": checkpoint.step, **asdict(checkpoint.identity), "values": values}
    _write(unfinished / "state.json", lambda file: file.write(json.dumps(document).encode()))
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def load(step_folder: Path, run_name: str, branches: bool = False) -> Checkpoint:
    """Read `step_folder/spo`, the checkpoint of this run or, if it `branches`, of another one.

    Raises:
        CheckpointError: It is missing, torn, of the wrong run or of another format.
    """
    folder = step_folder / FOLDER
    document = check(step_folder, run_name, branches)
    with _torn(folder), np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        contents = {name: arrays[name] for name in arrays.files}
    parent = Parent(**document["parent"]) if document.get("parent") else None
    identity = Identity(document["run_uid"], document["run_name"], document["pool"], parent)
    return Checkpoint(identity, document["step"], {**contents, **document["values"]})


def check(step_folder: Path, run_name: str, branches: bool = False) -> dict[str, Any]:
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
    if branches and document["run_name"] == run_name:
        raise CheckpointError(
            f"{folder}: belongs to this very run, {run_name!r}, which cannot branch from itself; set another "
            "trainer.experiment_name, or resume with trainer.resume_mode=resume_path"
        )
    if not branches and document["run_name"] != run_name:
        raise CheckpointError(
            f"{folder}: belongs to run {document['run_name']!r}, but this run is {run_name!r}; set "
            "trainer.project_name and trainer.experiment_name to the former, or trainer.default_local_dir to another "
            "folder; a run of another name begins from it with spo.branch_from, in a trainer.default_local_dir of its "
            "own"
        )
    return document


def owner(step_folder: Path) -> str | None:
    """The name of the run whose state lies in a checkpoint; None if there is none.

    Raises:
        CheckpointError: It is torn.
    """
    folder = step_folder / FOLDER
    if not (folder / "state.json").is_file():
        return None
    with _torn(folder):
        return str(json.loads((folder / "state.json").read_text())["run_name"])


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
