"""A run whose checkpoints are to be evaluated."""

from pathlib import Path

import pytest

from tests.support.configured import configure, make_files
from tests.support.stores import info, start, trained
from verl_spo.store.runs.status import Status
from verl_spo.training import verl_options


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a run, with checkpoints of steps 2 and 4."""
    make_files(tmp_path)
    for step in (2, 4):
        (tmp_path / "checkpoints" / "spo" / f"global_step_{step}" / "actor").mkdir(parents=True)
    (tmp_path / "checkpoints" / "spo" / "latest_checkpointed_iteration.txt").write_text("4")
    return tmp_path


@pytest.fixture
def db(folder: Path) -> str:
    """A store with the run of those checkpoints, which was resumed from step 2."""
    url = f"sqlite:///{folder}/store.db"
    config = verl_options.plain(configure(folder, f"trainer.default_local_dir={folder}/checkpoints/spo"))
    training = trained(url, steps=4, run=info(config=config))
    training.step = 2
    writer = start(url, training, info(config=config), resume_step=2)
    writer.submit(training.advance())
    writer.close(Status.FINISHED)
    return url
