"""The initial policy's responses: asked for, awaited, counted."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import transfer_queue as tq
from transfer_queue import KVBatchMeta

from verl_spo import SPO, SPOConfig
from verl_spo.core.estimates import Estimates
from verl_spo.training.initial import rollouts
from verl_spo.training.initial.rollouts import InitialRollouts

POOL = 5


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Keys and tags of TransferQueue's training partition."""
    partition: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(tq, "kv_list", lambda *_: {"train": dict(partition)})
    monkeypatch.setattr(tq, "kv_clear", lambda keys, partition_id: [partition.pop(key) for key in keys])
    return partition


def test_all_requests_are_awaited_and_what_there_is_is_taken(
    queue: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.update({"init0": {"status": "running"}, "init1": {"status": "failure"}, "init1_1_0": {"seq_len": 3}})

    def end(_: float) -> None:
        queue.update({"init0": {"status": "finished"}, "init0_0_0": {"seq_len": 4}, "init0_1_0": {"seq_len": 2}})

    monkeypatch.setattr(rollouts, "time", SimpleNamespace(sleep=end))
    batch = rollouts.wait_for({"init0", "init1"}, interval_s=0.01)
    assert sorted(batch.keys) == ["init0_0_0", "init0_1_0", "init1_1_0"]
    assert np.sum([tag["seq_len"] for tag in batch.tags]) == 9


def test_only_prompts_without_enough_responses_are_asked_a_batch_at_a_time(
    queue: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = Estimates.none(POOL)
    earlier.add(np.array([1, 1]), np.array([1.0, 1.0]))
    asked: list[list[int]] = []
    kept: list[list[int]] = []

    def ask(slots: np.ndarray, uids: list[str], responses: int) -> None:
        asked.append(slots.tolist())
        answered = [uid for uid in uids if uid != "init4"]
        queue.update({uid: {"status": "finished" if uid in answered else "failure"} for uid in uids})
        queue.update({f"{uid}_{session}_0": {} for uid in answered for session in range(responses)})

    def rewards(batch: KVBatchMeta) -> tuple[list[str], np.ndarray]:
        uids = [key.split("_")[0] for key in batch.keys]
        return uids, np.array([float(uid == "init0") for uid in uids])

    monkeypatch.setattr(rollouts, "read_session_rewards", rewards)
    recorder = SimpleNamespace(
        init_estimates=lambda: earlier, keep_init_estimates=lambda _, slots: kept.append(slots.tolist())
    )
    spo = SPO(SPOConfig(init="rollouts", init_rollouts=2, prior=0.25), pool_size=POOL, batch_size=2)
    tracker = InitialRollouts(spo, 2, recorder, ask).tracker()
    assert asked == kept == [[0, 2], [3, 4]]
    assert queue == {}
    assert tracker.value().tolist() == pytest.approx([2.5 / 3, 2.5 / 3, 0.5 / 3, 0.5 / 3, 0.25])
