"""What a batch of verl's TransferQueue says, session by session."""

from typing import Any

import numpy as np
import pytest
import torch
from transfer_queue import KVBatchMeta

from verl_spo.training import outcomes
from verl_spo.training.outcomes import read_outcomes, read_session_rewards, real_rows

# Two sessions: `b` answered at once, with a tool's tokens in between; `a` in two outputs, of which "10" is the later.
ROWS: dict[str, dict[str, Any]] = {
    "b_0_0": {"version": 4, "response_mask": [1, 1, 0, 0, 1], "rm_scores": [0.0, 0.0, 0.0, 0.0, 1.0]},
    "a_0_10": {"version": 3, "response_mask": [1, 1], "rm_scores": [0.0, 0.5]},
    "pad_0_0": {"version": 0, "response_mask": [0], "rm_scores": [0.0]},
    "a_0_2": {"version": 2, "response_mask": [1, 0, 1], "rm_scores": [0.0, 0.0, 0.25]},
}


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> KVBatchMeta:
    """The rows above, in a queue that is only there to be read."""

    def get(keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, torch.Tensor]:
        columns = {
            name: [torch.tensor(ROWS[key][name]) for key in keys] for name in select_fields if name in ROWS["b_0_0"]
        }
        if "old_log_probs" in select_fields:
            columns["old_log_probs"] = [torch.full((len(ROWS[key]["response_mask"]),), -np.log(2.0)) for key in keys]
        return {name: torch.nested.as_nested_tensor(rows, layout=torch.jagged) for name, rows in columns.items()}

    monkeypatch.setattr(outcomes.tq, "kv_batch_get", get)
    tags = [{"min_global_steps": row["version"], "is_padding": key.startswith("pad")} for key, row in ROWS.items()]
    return KVBatchMeta(partition_id="train", keys=list(ROWS), tags=tags)


def test_a_session_counts_once_whatever_its_outputs(batch: KVBatchMeta) -> None:
    found = read_outcomes(batch, {"a": 0.1}, with_energies=False)
    assert found.uids == ["a", "b"]
    assert found.rewards.tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(found.kl, [0.1, np.nan])
    assert np.isnan(found.energies).all()


def test_only_tokens_that_the_model_generated_have_weight(batch: KVBatchMeta) -> None:
    assert read_outcomes(batch, {}, with_energies=False).lengths.tolist() == [4, 3]


def test_a_trajectory_is_as_old_as_its_oldest_token(batch: KVBatchMeta) -> None:
    assert read_outcomes(batch, {}, with_energies=False).versions.tolist() == [2, 4]


def test_energies_are_summed_over_a_sessions_generated_tokens(batch: KVBatchMeta) -> None:
    assert read_outcomes(batch, {}, with_energies=True).energies == pytest.approx([4 / 4, 3 / 4])


def test_padding_is_no_trajectory_and_outputs_are_in_numeric_order(batch: KVBatchMeta) -> None:
    assert [batch.keys[row] for row in real_rows(batch)] == ["a_0_2", "a_0_10", "b_0_0"]


def test_rewards_of_sessions_are_those_of_their_last_outputs(batch: KVBatchMeta) -> None:
    uids, rewards = read_session_rewards(batch)
    assert (uids, rewards.tolist()) == (["a", "b"], [0.5, 1.0])


def test_a_batch_whose_sessions_all_failed_has_no_rewards(batch: KVBatchMeta) -> None:
    uids, rewards = read_session_rewards(KVBatchMeta(partition_id="train", keys=[], tags=[]))
    assert (uids, rewards.tolist()) == ([], [])
