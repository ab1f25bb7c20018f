"""A folder of checkpoints belongs to one run."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_spo.errors import ConfigError
from verl_spo.launching import run_folder
from verl_spo.training import checkpoint
from verl_spo.training.checkpoint import Checkpoint, Identity


def config(folder: Path, experiment: str = "spo", **trainer: object) -> DictConfig:
    names = {"project_name": "demo", "experiment_name": experiment, "default_local_dir": str(folder)}
    return OmegaConf.create({"trainer": {**names, "resume_mode": "auto", "resume_from_path": None, **trainer}})


def trained(folder: Path, owner: str | None, step: int = 20) -> None:
    """Leave a checkpoint behind: of SPO's where its run is known."""
    path = folder / f"global_step_{step}"
    path.mkdir(parents=True)
    if owner:
        checkpoint.save(path, Checkpoint(Identity("uid", owner, "pool"), step, {}))


def test_a_folder_without_checkpoints_is_everybodys(tmp_path: Path) -> None:
    run_folder.check(config(tmp_path / "nothing"))
    run_folder.note(tmp_path, "demo/other")
    run_folder.check(config(tmp_path))


def test_a_run_may_begin_anew_or_go_on_in_its_own_folder(tmp_path: Path) -> None:
    trained(tmp_path, "demo/spo")
    for mode in ("auto", "disable"):
        run_folder.check(config(tmp_path, resume_mode=mode))


@pytest.mark.parametrize("noted", [True, False])
def test_a_folder_with_another_run_in_it_is_refused(noted: bool, tmp_path: Path) -> None:
    trained(tmp_path, None if noted else "demo/other", step=100)
    trained(tmp_path, None if noted else "demo/older", step=20)
    if noted:
        run_folder.note(tmp_path, "demo/other")
    with pytest.raises(ConfigError) as refused:
        run_folder.check(config(tmp_path, resume_mode="disable"))
    message = str(refused.value)
    assert message.startswith(f"trainer.default_local_dir={tmp_path}: holds checkpoints of run 'demo/other'")
    assert "spo.branch_from" in message
    # Without the note of the latest checkpoint verl would not resume either.
    with pytest.raises(ConfigError):
        run_folder.check(config(tmp_path))


def test_whoever_resumes_from_the_folder_may_have_it(tmp_path: Path) -> None:
    """verl goes on under another name; a run with SPO is refused by the check of its checkpoint."""
    trained(tmp_path, None)
    run_folder.note(tmp_path, "demo/other")
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("20")
    run_folder.check(config(tmp_path))
    step = str(tmp_path / "global_step_20")
    run_folder.check(config(tmp_path, resume_mode="resume_path", resume_from_path=step))
    with pytest.raises(ConfigError, match="holds checkpoints"):
        run_folder.check(config(tmp_path, resume_mode="resume_path", resume_from_path="/elsewhere/global_step_20"))
