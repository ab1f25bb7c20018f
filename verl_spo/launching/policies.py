"""Which policy a user names: a run's, at one of its checkpoints, or a model."""

from dataclasses import dataclass
from pathlib import Path

from verl_spo.errors import CheckpointError, ConfigError
from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunDetail
from verl_spo.training import checkpoint, verl_options

_STEP = "global_step_"


@dataclass(frozen=True)
class Policy:
    """What is evaluated.

    Attributes:
        name: For people.
        checkpoint: The `global_step_N` folder of its weights; None for the model that `model` names.
        model: Folder or name of a Hugging Face model; None for the one of the configuration.
        run: The run that it is of, None if the store has none.
        step: Of the policy; 0 before training.
        attempt: Of the run, that it is of.
    """

    name: str
    checkpoint: Path | None
    model: str | None
    run: RunDetail | None
    step: int
    attempt: int


def find(target: str, step: int | None, reader: Reader, is_model: bool) -> Policy:
    """The policy that a user names: a run, a folder of its checkpoints, or a Hugging Face model.

    Args:
        target: Name of a run, path of a `global_step_N` folder, folder or hub name of a model.
        step: Of a run's checkpoint; None for the latest one.
        reader: The store.
        is_model: Whether a name that is neither a run nor a folder here is a model's.

    Raises:
        CheckpointError: There is no such checkpoint.
        StoreError: There is no such run, and no such folder.
    """
    folder = Path(target)
    if folder.name.startswith(_STEP) and folder.name.removeprefix(_STEP).isdecimal():
        policy = _of_checkpoint(folder, reader)
        if step not in (None, policy.step):
            raise ConfigError(f"--step {step}: {target} is of step {policy.step}; leave it out")
        return policy
    if (folder / "config.json").is_file() or (is_model and queries.find_run(reader, target) is None):
        return Policy(target, None, target, None, 0, 0)
    return _of_run(queries.run(reader, target), step)


def _of_run(run: RunDetail, step: int | None) -> Policy:
    if "trainer" not in run.config:
        raise ConfigError(
            f"run {run.run.name!r}: has never trained, so it has no checkpoints; name a checkpoint or a model"
        )
    root = Path(run.config["trainer"]["default_local_dir"])
    if step == 0:
        return Policy(run.run.name, None, None, run, 0, 1)
    step = verl_options.latest_step(root) if step is None else step
    if step is None:
        raise CheckpointError(f"run {run.run.name!r}: has no checkpoint in {root}; --step 0 evaluates where it began")
    return Policy(run.run.name, _existing(root / f"{_STEP}{step}"), None, run, step, _attempt(run, step))


def _of_checkpoint(folder: Path, reader: Reader) -> Policy:
    owner, step = checkpoint.owner(_existing(folder)), int(folder.name.removeprefix(_STEP))
    run = queries.find_run(reader, owner) if owner else None
    return Policy(str(folder), folder, None, run, step, _attempt(run, step) if run else 0)


def _existing(folder: Path) -> Path:
    if not (folder / checkpoint.WEIGHTS).is_dir():
        there = sorted(path.name for path in folder.parent.glob(f"{_STEP}*") if (path / checkpoint.WEIGHTS).is_dir())
        raise CheckpointError(f"{folder}: no checkpoint with weights; there are {', '.join(there) or 'none'}")
    return folder


def _attempt(run: RunDetail, step: int) -> int:
    """The last attempt that began before a step."""
    return max((each.attempt for each in run.attempts if (each.resumed_from or 0) < step), default=1)
