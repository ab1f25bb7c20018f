"""What a batch of verl's TransferQueue says, session by session."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from transfer_queue import KVBatchMeta

from verl_spo.training import trajectories
from verl_spo.training.trajectories import Outcomes, outcomes_of, read_session_rewards, real_rows

# Two sessions: `b` answered at once, with a tool's tokens in between; `a` in two outputs, of which "10" is the later.
ROWS: dict[str, dict[str, Any]] = {
    "b_0_0": {"version": 4, "response_mask": [1, 1, 0, 0, 1], "rm_scores": [0.0, 0.0, 0.0, 0.0, 1.0]},
    "a_0_10": {"version": 3, "response_mask": [1, 1], "rm_scores": [0.0, 0.5]},
    "pad_0_0": {"version": 0, "response_mask": [0], "rm_scores": [0.0]},
    "a_0_2": {"version": 2, "response_mask": [1, 0, 1], "rm_scores": [0.0, 0.0, 0.25]},
}
READ: list[str] = []


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> KVBatchMeta:
    """The rows above, in a queue that is only there to be read, and notes what is."""

    def get(keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, torch.Tensor]:
        READ.extend(select_fields)
        columns = {
            name: [torch.tensor(ROWS[key][name]) for key in keys] for name in select_fields if name in ROWS["b_0_0"]
        }
        if "old_log_probs" in select_fields:
            columns["old_log_probs"] = [torch.full((len(ROWS[key]["response_mask"]),), -np.log(2.0)) for key in keys]
        return {name: torch.nested.as_nested_tensor(rows, layout=torch.jagged) for name, rows in columns.items()}

    READ.clear()
    monkeypatch.setattr(trajectories.tq, "kv_batch_get", get)
    tags = [{"min_global_steps": row["version"], "is_padding": key.startswith("pad")} for key, row in ROWS.items()]
    return KVBatchMeta(partition_id="train", keys=list(ROWS), tags=tags)


def padded(field: str) -> torch.Tensor:
    """A field of all rows as verl hands it to an estimator."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row[field]) for row in ROWS.values()], batch_first=True)


def outcomes(batch: KVBatchMeta, policy_change: Mapping[str, float], with_squared_norms: bool = False) -> Outcomes:
    return outcomes_of(batch, padded("rm_scores"), padded("response_mask"), policy_change, with_squared_norms)


def test_a_session_counts_once_whatever_its_outputs(batch: KVBatchMeta) -> None:
    found = outcomes(batch, {"a": 0.1})
    assert found.uids == ["a", "b"]
    assert found.rewards.tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(found.policy_change, [0.1, np.nan])
    assert found.squared_norms is None


def test_only_tokens_that_the_model_generated_have_weight(batch: KVBatchMeta) -> None:
    assert outcomes(batch, {}).lengths.tolist() == [4, 3]


def test_a_trajectory_is_as_old_as_its_oldest_token(batch: KVBatchMeta) -> None:
    assert outcomes(batch, {}).versions.tolist() == [2, 4]


def test_squared_norms_are_summed_over_a_sessions_generated_tokens(batch: KVBatchMeta) -> None:
    assert outcomes(batch, {}, with_squared_norms=True).squared_norms == pytest.approx([4 / 4, 3 / 4])


@pytest.mark.parametrize(("with_squared_norms", "expected"), [(False, []), (True, ["old_log_probs"])])
def test_what_verl_has_read_is_not_read_again(
    batch: KVBatchMeta, with_squared_norms: bool, expected: list[str]
) -> None:
    outcomes(batch, {}, with_squared_norms)
    assert expected == READ


def test_padding_is_no_trajectory_and_outputs_are_in_numeric_order(batch: KVBatchMeta) -> None:
    assert [batch.keys[row] for row in real_rows(batch)] == ["a_0_2", "a_0_10", "b_0_0"]


def test_rewards_of_sessions_are_those_of_their_last_outputs(batch: KVBatchMeta) -> None:
    uids, rewards = read_session_rewards(batch)
    assert (uids, rewards.tolist()) == (["a", "b"], [0.5, 1.0])


def test_only_rewards_are_read_and_only_of_last_outputs(batch: KVBatchMeta) -> None:
    read_session_rewards(batch)
    assert READ == ["rm_scores"]


def test_a_batch_whose_sessions_all_failed_has_no_rewards(batch: KVBatchMeta) -> None:
    uids, rewards = read_session_rewards(KVBatchMeta(partition_id="train", keys=[], tags=[]))
    assert (uids, rewards.tolist()) == ([], [])
