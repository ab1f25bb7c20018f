"""What SPO's trainers add to verl's, as far as it can be seen without workers."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transfer_queue as tq
from omegaconf import OmegaConf
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_spo.config import SPOConfig
from verl_spo.core.tracker import ValueTracker
from verl_spo.training.policy_loss import LOG_RATIO_METRIC
from verl_spo.training.rescore import Rescoring
from verl_spo.training.session import Outcomes, Session
from verl_spo.training.trainers import SPOTrainerSeparateAsync, SPOTrainerSync

pytestmark = pytest.mark.slow

BATCH = 8


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Keys and tags of TransferQueue's training partition."""
    partition: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(tq, "kv_list", lambda *_: {"train": dict(partition)})
    return partition


def make_trainer(kind: type, **attributes: Any) -> Any:
    """A trainer without verl's workers."""
    trainer = object.__new__(kind)
    session = Session(SPOConfig(), ValueTracker.from_value(40), BATCH, str)
    vars(trainer).update({"session": session, "spo": SPOConfig(poll_interval_s=0.01), "_lost": 0, **attributes})
    return trainer


def test_requests_that_verl_replaces_within_a_step_count_as_failed(queue: dict[str, dict[str, Any]]) -> None:
    trainer = make_trainer(SPOTrainerSync)
    dispatch = trainer.session.dispatch(BATCH)
    queue.update({uid: {"status": "running"} for uid in dispatch.uids[:5]})
    trainer._release_lost()
    queue.pop(dispatch.uids[0])
    trainer._release_lost()
    assert trainer._lost == 4
    assert trainer.session.in_flight == dispatch.uids[1:5]


def test_a_step_reports_what_failed_in_it_and_no_more(
    queue: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted: list[dict[str, float]] = []
    history = SimpleNamespace(queue_depth=0, submit=lambda step, session, done, metrics: submitted.append(metrics))
    session = Session(SPOConfig(retention="constant"), ValueTracker.from_value(40), BATCH, str)
    config = OmegaConf.create({"actor_rollout_ref": {"actor": {"ppo_mini_batch_size": 4, "ppo_epochs": 1}}})
    trainer = make_trainer(
        SPOTrainerSync, session=session, history=history, config=config, global_steps=1, _completions=[]
    )

    def step(self: Any, metrics: dict[str, Any], timing: dict[str, float]) -> Any:
        dispatch = self.session.dispatch(BATCH)
        back = dispatch.uids[: BATCH - len(submitted)]
        n = len(back)
        given = (np.ones(n), np.ones(n, np.int64), np.zeros(n, np.int64), np.full(n, np.nan), np.full(n, np.nan))
        self._completions.append(self.session.complete(Outcomes(back, *given), self.global_steps))
        return SimpleNamespace(keys=back)

    monkeypatch.setattr(PPOTrainer, "step", step)
    for _ in range(3):
        trainer.step({}, {})
    assert [metrics["spo/failed"] for metrics in submitted] == [0, 1, 2]


@pytest.mark.parametrize("epochs", [1, 2])
def test_updates_are_counted_by_rows_not_by_prompts(epochs: int) -> None:
    actor = {"ppo_mini_batch_size": 8, "ppo_epochs": epochs}
    trainer = make_trainer(SPOTrainerSync, config=OmegaConf.create({"actor_rollout_ref": {"actor": actor}}))
    # 16 prompts whose sessions have three outputs each: six mini-batches an epoch.
    batch = SimpleNamespace(keys=[f"{uid}_0_{output}" for uid in range(16) for output in range(3)])
    updates = 6 * epochs
    assert trainer._drift(batch, {LOG_RATIO_METRIC: 0.01}) == pytest.approx(0.01 * 2 * updates / (updates - 1))
    assert trainer._drift(batch, {}) is None


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
    for retention, expected in (("kl", {"uid": 0.1}), ("drift", {})):
        session = Session(SPOConfig(retention=retention), ValueTracker.from_value(40), BATCH, str)
        trainer = make_trainer(SPOTrainerSync, session=session)
        trainer._compute_old_log_prob(SimpleNamespace(), {})
        assert trainer.policy_change == expected


def test_initial_rollouts_wait_for_all_requests_and_take_what_there_is(
    queue: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(SPOTrainerSync)
    queue.update({"init0": {"status": "running"}, "init1": {"status": "failure"}, "init1_1_0": {"seq_len": 3}})

    def end(_: float) -> None:
        queue.update({"init0": {"status": "finished"}, "init0_0_0": {"seq_len": 4}, "init0_1_0": {"seq_len": 2}})

    monkeypatch.setattr("verl_spo.training.initial_rollouts.time.sleep", end)
    batch = trainer._ended({"init0", "init1"})
    assert sorted(batch.keys) == ["init0_0_0", "init0_1_0", "init1_1_0"]
    assert np.sum([tag["seq_len"] for tag in batch.tags]) == 9
