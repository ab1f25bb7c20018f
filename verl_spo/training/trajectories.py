"""What verl and its TransferQueue say of a batch's trajectories, one entry per session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transfer_queue as tq
from transfer_queue import KVBatchMeta

from verl_spo.core.baseline import squared_gradient_norm

ENDED = ("finished", "failure")
"""Statuses of a request in the TransferQueue that gets no more trajectories (verl's replay_buffer.py:90)."""


@dataclass(frozen=True)
class Outcomes:
    """Finished trajectories as verl reports them, one entry per session, in any order.

    Attributes:
        uids: Their requests.
        rewards: (n,) in the data's own range.
        lengths: (n,) int64, tokens that the model generated.
        versions: (n,) int64, the oldest policy version that generated them.
        policy_change: (n,) on the prompt's previous response, nats per token; NaN where there is none. None where the
            retention does not need it.
        squared_norms: (n,), squared gradient norm (core/baseline.py). None where the baseline does not need it.
    """

    uids: list[str]
    rewards: np.ndarray
    lengths: np.ndarray
    versions: np.ndarray
    policy_change: np.ndarray | None
    squared_norms: np.ndarray | None


def real_rows(batch: KVBatchMeta) -> list[int]:
    """Rows that a model generated, in the order of verl's keys `{uid}_{session}_{output}`; padding rows are not."""
    rows = [i for i, tag in enumerate(batch.tags) if not tag.get("is_padding", False)]
    return sorted(rows, key=lambda i: _split(batch.keys[i]))


def uid_of(key: str) -> str:
    """The request that a key belongs to."""
    return _split(key)[0]


def session_of(key: str) -> int:
    """The session of its request that a key belongs to."""
    return _split(key)[1]


def last_outputs(batch: KVBatchMeta) -> list[str]:
    """The key of each session's last output."""
    return list({_split(batch.keys[row])[:2]: batch.keys[row] for row in real_rows(batch)}.values())


def outcomes_of(
    batch: KVBatchMeta,
    rewards: torch.Tensor,
    mask: torch.Tensor,
    policy_change: Mapping[str, float] | None,
    with_squared_norms: bool,
) -> Outcomes:
    """A batch's outcomes; a session of several outputs counts once, by its last output's reward.

    Args:
        batch: Whose rows they are.
        rewards: (rows, tokens), in the data's own range.
        mask: (rows, tokens), 1 for a token that the model generated.
        policy_change: Nats per token by uid, where there was a previous response; None if it is not measured.
        with_squared_norms: Whether to read squared gradient norms too, from the log-probs of the policy to be updated.
    """
    rows = real_rows(batch)
    # torch sums into another type many times slower than NumPy.
    scores, tokens = rewards.numpy().sum(axis=1, dtype=np.float64)[rows], mask.numpy().sum(axis=1)[rows]
    squared_norms = (
        squared_gradient_norm(_padded(batch, "old_log_probs")[rows], mask.numpy()[rows]) if with_squared_norms else None
    )
    versions = np.array([batch.tags[row]["min_global_steps"] for row in rows], dtype=np.int64)
    uids, first, session = np.unique([uid_of(batch.keys[row]) for row in rows], return_index=True, return_inverse=True)
    last = len(rows) - 1 - np.unique(session[::-1], return_index=True)[1]
    return Outcomes(
        uids=uids.tolist(),
        rewards=scores[last],
        lengths=np.bincount(session, weights=tokens, minlength=len(uids)).astype(np.int64),
        versions=np.minimum.reduceat(versions, first) if len(uids) else versions,
        policy_change=None
        if policy_change is None
        else np.array([policy_change.get(uid, np.nan) for uid in uids.tolist()]),
        squared_norms=None
        if squared_norms is None
        else np.bincount(session, weights=squared_norms, minlength=len(uids)),
    )


def read_session_rewards(batch: KVBatchMeta) -> tuple[list[str], np.ndarray]:
    """Each session's uid and reward, by its last output; a uid occurs once a session."""
    last = last_outputs(batch)
    if not last:
        return [], np.zeros(0)
    scores = _read(last, batch.partition_id, "rm_scores")
    session = np.repeat(np.arange(len(last)), scores.offsets().diff().numpy())
    return [uid_of(key) for key in last], np.bincount(session, weights=scores.values().numpy(), minlength=len(last))


def _padded(batch: KVBatchMeta, field: str) -> np.ndarray:
    """A field of all rows, (rows, tokens), padded with 0."""
    values: np.ndarray = _read(batch.keys, batch.partition_id, field).to_padded_tensor(0).numpy()
    return values


def _read(keys: Sequence[str], partition: str, field: str) -> Any:
    """A field of some rows as a nested tensor: as many tokens a row as it has."""
    return tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=[field])[field]


def _split(key: str) -> tuple[str, int, int]:
    uid, session, output = key.rsplit("_", 2)
    return uid, int(session), int(output)
