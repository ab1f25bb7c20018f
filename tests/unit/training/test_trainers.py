"""What SPO's trainers add to verl's, as far as it can be seen without workers."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
import transfer_queue as tq
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import trainer_base
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from tests.support.faults import away
from tests.support.stores import Training, start
from verl_spo import SPO, SPOConfig
from verl_spo.core.difficulty import DifficultyCounts
from verl_spo.core.estimates import Estimates
from verl_spo.core.policy_change import update_change
from verl_spo.errors import ConfigError, DurabilityError
from verl_spo.store.database.urls import parse
from verl_spo.store.runs.status import Status
from verl_spo.store.writing import spool, writer
from verl_spo.training import checkpoint, launcher, preflight, provenance, trainers
from verl_spo.training.estimator import spo_advantage
from verl_spo.training.policy_loss import LOG_RATIO_METRIC, NOISE_METRIC
from verl_spo.training.preflight import notes
from verl_spo.training.recorder import Recorder
from verl_spo.training.rescoring import Rescoring
from verl_spo.training.trainers import SPOTrainerSeparateAsync, SPOTrainerSync
from verl_spo.training.trajectories import Outcomes

pytestmark = pytest.mark.slow

BATCH = 8


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Keys and tags of TransferQueue's training partition."""
    partition: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(tq, "kv_list", lambda *_: {"train": dict(partition)})
    return partition


def make_spo(**options: Any) -> SPO:
    return SPO(SPOConfig(**options), pool_size=40, batch_size=BATCH)


def make_recorder(writer: Any, options: SPOConfig) -> Recorder:
    flat = np.zeros(40, dtype=int)
    return Recorder(writer, "a" * 32, options, Estimates.none(40), DifficultyCounts(flat, flat, flat, ["math"]))


def make_trainer(kind: type, **attributes: Any) -> Any:
    """A trainer without verl's workers."""
    trainer = object.__new__(kind)
    given = {
        "spo": make_spo(),
        "options": SPOConfig(poll_interval_s=0.01),
        "_lost": 0,
        "_in_training": True,
        "_stopping": False,
        "_saved_step": None,
        # Judges on the trainer's own devices: nobody looks at validations.
        "reward_loop_manager": SimpleNamespace(reward_loop_worker_handles=None),
        **attributes,
    }
    vars(trainer).update(given)
    return trainer


def test_trajectories_are_looked_for_as_often_as_verl_does_itself() -> None:
    assert signature(ReplayBuffer).parameters["poll_interval"].default == SPOConfig().poll_interval_s


def test_a_trainer_says_first_what_is_without_effect_and_which_machine_writes_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def begin(trainer: Any, config: Any) -> None:
        place = f"history goes to sqlite:///{tmp_path}/verl_spo.db, from {provenance.host()}"
        assert caplog.messages == ["the notes on verl's options", place]
        trainer.replay_buffer = SimpleNamespace()

    monkeypatch.setattr(preflight, "check", lambda config: None)
    monkeypatch.setattr(notes, "log", lambda config: logging.getLogger().warning("the notes on verl's options"))
    monkeypatch.setattr(PPOTrainer, "__init__", begin)
    monkeypatch.chdir(tmp_path)
    files = {"train_files": "train.parquet", "val_files": "validation.parquet", "custom_cls": {"path": None}}
    SPOTrainerSync(OmegaConf.create({"data": files, "trainer": {"v1": {"trainer_mode": "spo_sync"}}}))
    assert caplog.messages


@pytest.mark.parametrize(("judges", "kept"), [(["worker"], ["a record of step 3"]), (None, [])])
def test_a_validation_leaves_its_samples(
    judges: list[str] | None, kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[str] = []
    trainer = make_trainer(
        SPOTrainerSync,
        global_steps=3,
        replay_buffer=None,
        reward_loop_manager=SimpleNamespace(reward_loop_worker_handles=judges),
        validation=SimpleNamespace(
            watching=lambda buffer: nullcontext(), records=lambda step: [f"a record of step {step}"]
        ),
        recorder=SimpleNamespace(evaluate=records.append),
    )
    monkeypatch.setattr(PPOTrainer, "_validate", lambda self: {"val-core/arithmetic/acc/mean@1": 0.5})
    assert trainer._validate() == {"val-core/arithmetic/acc/mean@1": 0.5}
    assert records == kept


def test_requests_that_verl_replaces_within_a_step_count_as_failed(queue: dict[str, dict[str, Any]]) -> None:
    trainer = make_trainer(SPOTrainerSync)
    dispatch = trainer.spo.dispatch(BATCH)
    queue.update({uid: {"status": "running"} for uid in dispatch.uids[:5]})
    trainer._release_lost()
    queue.pop(dispatch.uids[0])
    trainer._release_lost()
    assert trainer._lost == 4
    assert trainer.spo.in_flight == dispatch.uids[1:5]


def test_a_session_without_a_generated_token_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = SimpleNamespace(keep_rollouts=lambda *_: None)
    spo = make_spo(retention="constant")
    given = {"recorder": recorder, "global_steps": 1, "policy_change": None, "sessions": None, "_completions": []}
    trainer = make_trainer(SPOTrainerSync, spo=spo, **given)
    outcomes = Outcomes(spo.dispatch(3).uids, np.ones(3), np.array([4, 0, 2]), np.zeros(3), None, None)
    monkeypatch.setattr(trainers, "outcomes_of", lambda *_: outcomes)
    mask, uids = torch.ones(3, 4), np.array(outcomes.uids)
    monkeypatch.setattr(PPOTrainer, "_compute_advantage", lambda *_: spo_advantage(mask, mask, uids))
    trainer._compute_advantage(SimpleNamespace(), {})
    assert trainer._lost == 1
    assert trainer._completions[0].uids == [outcomes.uids[0], outcomes.uids[2]]


def test_a_step_reports_what_failed_in_it_and_no_more(
    queue: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[int] = []
    recorder = SimpleNamespace(
        queue_depth=0,
        disk_free_gb=lambda: 9.5,
        submit=lambda step, spo, done, failed, metrics: submitted.append(failed),
    )
    config = OmegaConf.create({"actor_rollout_ref": {"actor": {"ppo_mini_batch_size": 4, "ppo_epochs": 1}}})
    trainer = make_trainer(
        SPOTrainerSync,
        spo=make_spo(retention="constant"),
        recorder=recorder,
        config=config,
        global_steps=1,
        _completions=[],
    )

    def step(self: Any, metrics: dict[str, Any], timing: dict[str, float]) -> Any:
        back = self.spo.dispatch(BATCH).uids[: BATCH - len(submitted)]
        self._completions.append(self.spo.complete(back, np.ones(len(back)), step=self.global_steps))
        return SimpleNamespace(keys=back)

    monkeypatch.setattr(PPOTrainer, "step", step)
    for _ in range(3):
        trainer.step({}, {})
    assert submitted == [0, 1, 2]


def test_advantages_come_from_what_verl_hands_to_the_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(
        SPOTrainerSync,
        spo=make_spo(retention="constant"),
        recorder=SimpleNamespace(keep_rollouts=lambda batch, completion, _: kept.append(completion)),
        sessions=None,
        policy_change=None,
        global_steps=1,
        _completions=[],
    )
    kept: list[Any] = []
    uids = trainer.spo.dispatch(BATCH).uids
    mask = torch.ones(BATCH, 3, dtype=torch.int64)
    rewards = torch.zeros(BATCH, 3)
    rewards[::2, 1] = 1.0

    def compute(self: Any, batch: KVBatchMeta, metrics: dict[str, Any]) -> torch.Tensor:
        return spo_advantage(rewards, mask, np.array(uids, dtype=object))[0]

    monkeypatch.setattr(PPOTrainer, "_compute_advantage", compute)
    tags = [{"min_global_steps": 1}] * BATCH
    advantages = trainer._compute_advantage(KVBatchMeta(keys=[f"{uid}_0_0" for uid in uids], tags=tags), {})
    (completion,) = trainer._completions
    assert kept == [completion]
    assert dict(zip(completion.uids, completion.rewards, strict=True)) == dict(zip(uids, [1.0, 0.0] * 4, strict=True))
    expected = [completion.by_uid()[uid] for uid in uids]
    assert advantages[:, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [1, 2])
def test_updates_are_counted_by_rows_not_by_prompts(epochs: int) -> None:
    actor = {"ppo_mini_batch_size": 8, "ppo_epochs": epochs}
    trainer = make_trainer(SPOTrainerSync, config=OmegaConf.create({"actor_rollout_ref": {"actor": actor}}))
    # 16 prompts whose sessions have three outputs each: six mini-batches an epoch.
    batch = SimpleNamespace(keys=[f"{uid}_0_{output}" for uid in range(16) for output in range(3)])
    updates = 6 * epochs
    quiet, noisy = ({LOG_RATIO_METRIC: 0.01, NOISE_METRIC: noise} for noise in (0.0, 0.005))
    assert trainer._update_change(batch, quiet) == pytest.approx(0.01 * 2 * updates / (updates - 1))
    assert trainer._update_change(batch, noisy) == pytest.approx(update_change(0.01, updates, 0.005))
    assert trainer._update_change(batch, {}) is None


def test_parts_of_a_step_are_rescored_with_the_weights_from_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        return lambda *given, **_: calls.append(f"{name} {given[-1]}" if isinstance(given[-1], int) else name)

    monkeypatch.setattr(PPOTrainer, "_compute_old_log_prob", noting("score"))
    monkeypatch.setattr(Rescoring, "_rescore", noting("rescore"))
    workers = {name: noting(name) for name in ("save_model_to_cpu", "restore_model_from_cpu", "clear_cpu_model")}
    trainer = make_trainer(
        SPOTrainerSeparateAsync,
        config=OmegaConf.create({"algorithm": {}}),
        actor_rollout_wg=SimpleNamespace(**workers),
        local_trigger_step=1,
    )
    trainer._compute_old_log_prob(SimpleNamespace(), {})
    assert calls == [
        "save_model_to_cpu 1",
        "restore_model_from_cpu 0",
        "score",
        "rescore",
        "restore_model_from_cpu 1",
        "clear_cpu_model 1",
    ]


def test_only_kl_retention_rescores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PPOTrainer, "_compute_old_log_prob", lambda self, batch, metrics: batch)
    monkeypatch.setattr(Rescoring, "_rescore", lambda self, batch: {"uid": 0.1})
    for retention, expected in (("kl", {"uid": 0.1}), ("drift", None)):
        trainer = make_trainer(SPOTrainerSync, spo=make_spo(retention=retention))
        trainer._compute_old_log_prob(SimpleNamespace(), {})
        assert trainer.policy_change == expected


def test_kl_refuses_a_processor_that_only_verl_could_make() -> None:
    """Of a model on the hub, which the checks before the start do not load."""
    config = OmegaConf.create({"actor_rollout_ref": {"model": {"path": "Qwen/Qwen2.5-VL-3B-Instruct"}}})
    trainer = make_trainer(SPOTrainerSync, processor=SimpleNamespace(), config=config)
    with pytest.raises(ConfigError, match=r"model.path=Qwen/Qwen2.5-VL-3B-Instruct: .*spo.retention=kl re-scores text"):
        trainer._init_dataloader()


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What lay beside the database whenever verl saved its part of a checkpoint."""
    found: list[list[str]] = []

    def save(trainer: Any) -> None:
        assert (tmp_path / "run" / f"global_step_{trainer.global_steps}" / "spo" / "state.json").is_file()
        path = spool.spool_path(parse(trainer.options.store.url), "demo/spo")
        found.append([str(number) for number, _ in spool.read(path)] if path.exists() else ["nothing"])

    monkeypatch.setattr(PPOTrainer, "_save_checkpoint", save)
    return found


def saving_trainer(tmp_path: Path) -> Any:
    """A trainer with a run in the store."""
    store = start(f"sqlite:///{tmp_path}/store.db", Training(), durability_timeout_s=0.1)
    options = SPOConfig.from_mapping({"store": {"url": f"sqlite:///{tmp_path}/store.db"}})
    trainer = {"project_name": "demo", "experiment_name": "spo", "max_actor_ckpt_to_keep": None}
    config = OmegaConf.create({"trainer": {**trainer, "default_local_dir": str(tmp_path / "run")}})
    return make_trainer(
        SPOTrainerSync,
        options=options,
        config=config,
        global_steps=1,
        pool=SimpleNamespace(fingerprint=lambda: b"p" * 16),
        _parent=None,
        recorder=make_recorder(store, options),
    )


def test_verl_saves_its_part_of_a_checkpoint_when_the_history_is_in_the_spool(
    tmp_path: Path, saved: list[list[str]]
) -> None:
    trainer = saving_trainer(tmp_path)
    with away():
        trainer.recorder._writer.submit(Training().advance())
        trainer._save_checkpoint()
    trainer.recorder._writer.close(Status.FINISHED, timeout=60)
    assert saved == [["1"]]


def test_weights_are_saved_also_where_history_cannot_be(
    tmp_path: Path, saved: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", "/proc/nothing")
    monkeypatch.setattr(writer, "GRACE_S", 0.1)
    trainer = saving_trainer(tmp_path)
    with away():
        trainer.recorder._writer.submit(Training().advance())
        with pytest.raises(DurabilityError, match="nor in the spool /proc/nothing"):
            trainer._save_checkpoint()
    trainer.recorder._writer.close(Status.FINISHED, timeout=60)
    assert saved == [["nothing"]]


class Loop:
    """verl's own loop around our hooks: what is done is noted, and the launcher asks to stop after some of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, asks: str, save_freq: int) -> None:
        self.done: list[str] = []
        self.ended_as: list[Status] = []
        self._asks, self._asked = asks, False
        monkeypatch.setattr(launcher, "wants_stop", lambda: self._asked)
        self._without_workers(monkeypatch)
        for kind, name in ((PPOTrainerSync, "on_train_begin"), (PPOTrainerSync, "on_step_end")):
            monkeypatch.setattr(kind, name, lambda _, name=name: self._do(name))
        monkeypatch.setattr(PPOTrainer, "_validate", lambda trainer: self._validate(trainer))
        monkeypatch.setattr(SPOTrainerSync, "step", lambda trainer, *_: self._step(trainer))
        monkeypatch.setattr(PPOTrainer, "_save_checkpoint", lambda trainer: self._do(f"save {trainer.global_steps}"))
        monkeypatch.setattr(checkpoint, "save", lambda *_: None)
        trainer = {
            "project_name": "demo",
            "experiment_name": "spo",
            "logger": [],
            "total_epochs": 9,
            "save_freq": save_freq,
            "test_freq": 2,
            "default_local_dir": "checkpoints",
            "max_actor_ckpt_to_keep": None,
        }
        writer = MagicMock(close=self.ended_as.append)
        self._trainer = make_trainer(
            SPOTrainerSync,
            config=OmegaConf.create({"trainer": trainer, "global_profiler": {"steps": None}}),
            recorder=make_recorder(writer, SPOConfig()),
            pool=SimpleNamespace(fingerprint=lambda: b""),
            total_training_steps=4,
            steps_per_epoch=1,
            global_steps=0,
            _in_training=False,
            _parent=None,
            _restored=True,
        )

    def run(self) -> list[str]:
        """Train; what was done."""
        self._trainer.fit(None)
        return self.done

    def _without_workers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loggers = ("Tracking", "ValidationGenerationsLogger", "DapoFilteredRewardTableLogger")
        for name in ("SkipManager", "tqdm", *loggers):
            monkeypatch.setattr(trainer_base, name, MagicMock())
        unneeded = ("_start_profiling", "_stop_profiling", "_compute_metrics", "_shutdown_dump_executor")
        for name in (*unneeded, "_reissue_inflight_prompts"):
            monkeypatch.setattr(PPOTrainer, name, lambda *_, **__: None)
        monkeypatch.setattr(SPOTrainerSync, "_report", lambda *_: None)
        monkeypatch.setattr(tq, "kv_clear", lambda **_: None)

    def _do(self, what: str) -> None:
        self.done.append(what)
        self._asked = self._asked or what == self._asks

    def _step(self, trainer: Any) -> Any:
        self._do(f"step {trainer.global_steps}")
        return SimpleNamespace(keys=[], partition_id="train")

    def _validate(self, trainer: Any) -> dict[str, float]:
        self._do(f"validate {trainer.global_steps}")
        return {"accuracy": 0.5}


BEFORE = ["validate 0", "on_train_begin", "step 1", "on_step_end", "step 2"]
REST = ["on_step_end", "validate 2", "step 3", "on_step_end", "step 4", "on_step_end", "validate 4"]


@pytest.mark.parametrize(
    ("asks", "save_freq", "end", "status"),
    [
        ("never", -1, REST, Status.FINISHED),
        ("step 2", -1, ["save 2"], Status.STOPPED),
        ("step 2", 2, ["save 2"], Status.STOPPED),
        ("save 2", 2, ["save 2"], Status.STOPPED),
        ("validate 2", -1, ["on_step_end", "validate 2", "save 2"], Status.STOPPED),
        ("validate 2", 2, ["save 2", "on_step_end", "validate 2"], Status.STOPPED),
    ],
)
def test_a_request_ends_the_step_with_a_checkpoint_and_nothing_more(
    asks: str, save_freq: int, end: list[str], status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(monkeypatch, asks, save_freq)
    assert loop.run() == [*BEFORE, *end]
    assert loop.ended_as == [status]


def test_a_request_in_the_last_step_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch, "step 4", save_freq=-1)
    assert loop.run()[-3:] == ["step 4", "on_step_end", "validate 4"]
    assert loop.ended_as == [Status.FINISHED]


def test_a_request_before_the_first_step_leaves_no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch, "validate 0", save_freq=1)
    assert loop.run() == ["validate 0"]
    assert loop.ended_as == [Status.STOPPED]


def test_the_disk_with_the_least_room_is_told_before_its_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(place: Path) -> SimpleNamespace:
        asked.append(place)
        return SimpleNamespace(free=(3 if place == tmp_path else 7) * 2**30)

    monkeypatch.setattr("verl_spo.training.recorder.shutil.disk_usage", usage)
    (tmp_path / "history").mkdir()
    folders = [tmp_path / "history", tmp_path / "checkpoints" / "run"]
    recorder = Recorder(SimpleNamespace(), "uid", SPOConfig(), Estimates.none(4), SimpleNamespace(), folders)
    assert recorder.disk_free_gb() == 3.0
    assert sorted(asked) == [tmp_path, tmp_path / "history"]
