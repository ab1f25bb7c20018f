"""A run begins from another one's checkpoint, under a new name and with other options, as far as without workers."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from verl_spo import SPO
from verl_spo.core.difficulty import Difficulty, DifficultyCounts
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import RunDetail
from verl_spo.store.runs.status import Status
from verl_spo.training import checkpoint, verl_options
from verl_spo.training.prompts.pool import PromptPool
from verl_spo.training.trainers import SPOTrainerSync

pytestmark = pytest.mark.slow

POOL, BATCH = 24, 8
SOURCES = ["math", "logic"]


@pytest.fixture(autouse=True)
def without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl's side: every answer is right, weights are nothing, checkpoints are declared."""

    def step(trainer: Any, metrics: dict[str, Any], timing: dict[str, float]) -> Any:
        uids = trainer.spo.dispatch(BATCH).uids
        change = np.full(BATCH, 0.02) if trainer.spo.retention.needs_policy_change else None
        done = trainer.spo.complete(uids, np.ones(BATCH), policy_change=change, step=trainer.global_steps)
        trainer._completions.append(done)
        return SimpleNamespace(keys=uids)

    def load(trainer: Any) -> None:
        # As verl does (trainer_base.py:854), but for the weights.
        folder = verl_options.own_checkpoint(trainer.config)
        trainer.global_steps = 0 if folder is None else int(str(folder).split("global_step_")[-1])

    def save(trainer: Any) -> None:
        root = Path(trainer.config.trainer.default_local_dir)
        (root / "latest_checkpointed_iteration.txt").write_text(str(trainer.global_steps))

    monkeypatch.setattr(tq, "kv_list", lambda *_: {"train": {}})
    for name, method in {"step": step, "_load_checkpoint": load, "_save_checkpoint": save}.items():
        monkeypatch.setattr(PPOTrainer, name, method)
    for hook in ("on_init_end", "on_train_begin"):
        monkeypatch.setattr(PPOTrainerSync, hook, lambda trainer: None)


def configure(folder: Path, name: str, **spo: Any) -> DictConfig:
    return OmegaConf.create(
        {
            "trainer": {
                "project_name": "math",
                "experiment_name": name,
                "default_local_dir": str(folder / name),
                "resume_mode": "auto",
                "resume_from_path": None,
                "max_actor_ckpt_to_keep": None,
            },
            "actor_rollout_ref": {"actor": {"ppo_mini_batch_size": BATCH, "ppo_epochs": 1}},
            "spo": {**spo, "store": {"url": f"sqlite:///{folder}/store.db"}},
        }
    )


def begin(config: DictConfig) -> Any:
    """A trainer at the point where its first step comes."""
    prompt = [{"role": "user", "content": "1"}]
    rows = [
        {"data_source": SOURCES[number % 2], "prompt": prompt, "reward_model": {"ground_truth": str(number)}}
        for number in range(POOL)
    ]
    trainer = object.__new__(SPOTrainerSync)
    options = verl_options.spo_config(config)
    vars(trainer).update(config=config, options=options, pool=PromptPool(rows), _completions=[], _lost=0)
    trainer.spo = SPO(options, pool_size=POOL, batch_size=BATCH)
    trainer.logger = SimpleNamespace(logger={})
    trainer._load_checkpoint()
    trainer.on_init_end()
    trainer.global_steps += 1
    trainer.on_train_begin()
    return trainer


def train(trainer: Any, steps: int, save: bool = True) -> Any:
    """So many steps, a checkpoint after the last one, and the end."""
    for number in range(steps):
        trainer.step({}, {})
        if save and number == steps - 1:
            trainer._save_checkpoint()
        trainer.global_steps += 1
    trainer.recorder._writer.close(Status.FINISHED)
    return trainer


def found(folder: Path, name: str) -> RunDetail:
    with open_reader(f"sqlite:///{folder}/store.db") as reader:
        return queries.run(reader, f"math/{name}")


def steps_of(folder: Path, name: str) -> dict[int, int]:
    """Observations of each step that counts."""
    with open_reader(f"sqlite:///{folder}/store.db") as reader:
        rows = queries.step_summaries(reader, queries.run(reader, f"math/{name}").run.id)
    return {row.step: row.observations for row in rows}


def assert_same_tracker(folder: Path, name: str, trainer: Any) -> None:
    with open_reader(f"sqlite:///{folder}/store.db") as reader:
        stored = queries.tracker(reader, queries.run(reader, f"math/{name}").run.id)
    order = [trainer.pool.digests.index(bytes(digest)) for digest in stored.digests]
    for field in ("alpha", "beta", "z", "visits", "last_step"):
        np.testing.assert_array_equal(getattr(stored, field), getattr(trainer.spo.tracker, field)[order])


def test_a_run_branches_is_interrupted_and_resumes(tmp_path: Path) -> None:
    parent = train(begin(configure(tmp_path, "parent", retention="kl")), steps=3)
    before = found(tmp_path, "parent")
    config = configure(tmp_path, "branch", retention="event", branch_from=str(tmp_path / "parent" / "global_step_3"))

    branch = begin(config)
    assert branch.global_steps == 4
    assert config.trainer.resume_mode == "auto"
    np.testing.assert_allclose(branch.spo.tracker.value(), parent.spo.tracker.value())
    train(branch, steps=1, save=False)
    assert steps_of(tmp_path, "branch") == {3: 0, 4: BATCH}

    # It ended before its first checkpoint, and so begins anew where it began.
    branch = train(begin(config), steps=2)
    run = found(tmp_path, "branch").run
    assert (run.parent_uid, run.parent_name, run.parent_step) == (before.run.uid, "math/parent", 3)
    assert (run.last_step, run.attempt) == (5, 2)
    assert steps_of(tmp_path, "branch") == {3: 0, 4: BATCH, 5: BATCH}
    assert_same_tracker(tmp_path, "branch", branch)

    saved = checkpoint.load(tmp_path / "branch" / "global_step_5", "math/branch").identity
    assert (saved.run_uid, saved.run_name) == (run.uid, "math/branch")
    assert run.uid != before.run.uid

    resumed = train(begin(config), steps=1)
    again = found(tmp_path, "branch")
    assert again.run.uid == run.uid
    assert (again.run.parent_name, again.run.last_step) == ("math/parent", 6)
    assert [attempt.resumed_from for attempt in again.attempts] == [None, None, 5]
    assert steps_of(tmp_path, "branch") == {3: 0, 4: BATCH, 5: BATCH, 6: BATCH}
    assert_same_tracker(tmp_path, "branch", resumed)
    assert found(tmp_path, "parent") == before


def test_with_the_same_options_it_draws_what_the_parent_would_have(tmp_path: Path) -> None:
    parent = train(begin(configure(tmp_path, "parent")), steps=2)
    branch = begin(configure(tmp_path, "branch", branch_from=str(tmp_path / "parent" / "global_step_2")))
    np.testing.assert_equal(branch.spo.state_dict(), parent.spo.state_dict())
    assert branch.spo.dispatch(BATCH).uids == parent.spo.dispatch(BATCH).uids
    branch.recorder._writer.close(Status.FINISHED)


def test_a_lost_database_learns_the_parent_from_the_checkpoint(tmp_path: Path) -> None:
    train(begin(configure(tmp_path, "parent")), steps=2)
    config = configure(tmp_path, "branch", branch_from=str(tmp_path / "parent" / "global_step_2"))
    train(begin(config), steps=1)
    for file in tmp_path.glob("store.db*"):
        file.unlink()
    train(begin(config), steps=1)
    run = found(tmp_path, "branch").run
    assert (run.parent_name, run.parent_step, run.last_step) == ("math/parent", 2, 4)


def test_a_resume_goes_on_counting_classes_and_moves(tmp_path: Path) -> None:
    whole = train(begin(configure(tmp_path, "whole")), steps=4)
    train(begin(configure(tmp_path, "resumed")), steps=2)
    train(begin(configure(tmp_path, "resumed")), steps=2)
    with open_reader(f"sqlite:///{tmp_path}/store.db") as reader:
        details = {
            name: [row.details for row in queries.step_summaries(reader, queries.run(reader, f"math/{name}").run.id)]
            for name in ("whole", "resumed")
        }
    assert details["resumed"] == details["whole"]
    tracker = whole.spo.tracker
    anew = DifficultyCounts(tracker.value(), tracker.visits, np.arange(POOL) % 2, SOURCES)
    assert details["whole"][-1]["classes"] == anew.by_source
    assert details["whole"][0]["classes"] == {name: [POOL // 2, 0, 0, 0] for name in SOURCES}
    assert details["whole"][0]["moves"] == []
    assert sum(number for *_, number in details["whole"][1]["moves"]) == BATCH
    # Every answer is right.
    assert details["whole"][1]["moves"][0][0] == Difficulty.UNVISITED
