"""A run's folder (`trainer.default_local_dir`) belongs to one run: what it holds is never mixed with another's."""

from pathlib import Path

from omegaconf import DictConfig

from verl_spo.errors import ConfigError
from verl_spo.training import checkpoint, verl_options

NOTE = "run.txt"
"""Holds the name of the run that was last started in the folder, whatever its algorithm."""


def check(config: DictConfig) -> None:
    """Refuse a folder with another run's checkpoints, unless this run goes on from them.

    Raises:
        ConfigError: The checkpoints of two runs would lie in one folder.
    """
    folder, name = Path(config.trainer.default_local_dir), verl_options.run_name(config)
    owner = _owner(folder)
    if owner is None or owner == name or verl_options.own_checkpoint(config) in _checkpoints(folder):
        return
    raise ConfigError(
        f"trainer.default_local_dir={folder}: holds checkpoints of run {owner!r}, with which those of {name!r} would "
        "mix; set another folder. To go on with that run, set its trainer.project_name and trainer.experiment_name, "
        "and trainer.resume_mode=auto; to begin from its checkpoint, spo.branch_from and a folder of its own"
    )


def note(folder: Path, run_name: str) -> None:
    """Say whose folder it is."""
    (folder / NOTE).write_text(f"{run_name}\n")


def _owner(folder: Path) -> str | None:
    """The run whose checkpoints lie in a folder; None if there are none, or nobody has said whose they are."""
    checkpoints = _checkpoints(folder)
    if checkpoints and (folder / NOTE).is_file():
        return (folder / NOTE).read_text().strip()
    return checkpoint.owner(checkpoints[-1]) if checkpoints else None


def _checkpoints(folder: Path) -> list[Path]:
    """In the order of their steps."""
    return sorted(folder.glob("global_step_*"), key=lambda path: int(path.name.rpartition("_")[2]))
