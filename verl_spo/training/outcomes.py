"""What verl's TransferQueue says of a batch's trajectories, one entry a session."""

from collections.abc import Mapping

import numpy as np
import transfer_queue as tq
from transfer_queue import KVBatchMeta

from verl_spo.core.baseline import gradient_energy
from verl_spo.training.session import Outcomes


def real_rows(batch: KVBatchMeta) -> list[int]:
    """Rows that a model generated, in the order of verl's keys `{uid}_{session}_{output}`; padding rows are not."""
    rows = [i for i, tag in enumerate(batch.tags) if not tag.get("is_padding", False)]
    return sorted(rows, key=lambda i: _split(batch.keys[i]))


def uid_of(key: str) -> str:
    """The request that a key belongs to."""
    return _split(key)[0]


def read_outcomes(batch: KVBatchMeta, policy_change: Mapping[str, float], with_energies: bool) -> Outcomes:
    """Read a batch's rewards and lengths; a session of several outputs counts once, by its last output's reward.

    Args:
        batch: With rewards.
        policy_change: D by uid, where it was measured.
        with_energies: Whether to read gradient energies too, from the log-probs of the policy that is to be updated.
    """
    rows = real_rows(batch)
    mask = _read(batch, "response_mask")[rows]
    scores, tokens = _sums(batch, "rm_scores")[rows], mask.sum(axis=1)
    energies = (
        gradient_energy(_read(batch, "old_log_probs")[rows], mask) if with_energies else np.full(len(rows), np.nan)
    )
    versions = np.array([batch.tags[row]["min_global_steps"] for row in rows], dtype=np.int64)
    uids, first, session = np.unique([uid_of(batch.keys[row]) for row in rows], return_index=True, return_inverse=True)
    last = len(rows) - 1 - np.unique(session[::-1], return_index=True)[1]
    return Outcomes(
        uids=uids.tolist(),
        rewards=scores[last],
        lengths=np.bincount(session, weights=tokens, minlength=len(uids)).astype(np.int64),
        versions=np.minimum.reduceat(versions, first) if len(uids) else versions,
        kl=np.array([policy_change.get(uid, np.nan) for uid in uids.tolist()], dtype=np.float64),
        energies=np.bincount(session, weights=energies, minlength=len(uids)),
    )


def read_session_rewards(batch: KVBatchMeta) -> tuple[list[str], np.ndarray]:
    """Each session's uid and reward, by its last output; a uid occurs once a session."""
    rows = {_split(batch.keys[row])[:2]: row for row in real_rows(batch)}
    if not rows:
        return [], np.zeros(0)
    return [uid for uid, _ in rows], _sums(batch, "rm_scores")[list(rows.values())]


def _read(batch: KVBatchMeta, field: str) -> np.ndarray:
    """A field of all rows, (rows, tokens), padded with 0."""
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=[field])
    values: np.ndarray = data[field].to_padded_tensor(0).numpy()
    return values


def _sums(batch: KVBatchMeta, field: str) -> np.ndarray:
    sums: np.ndarray = _read(batch, field).sum(axis=1, dtype=np.float64)
    return sums


def _split(key: str) -> tuple[str, int, int]:
    uid, session, output = key.rsplit("_", 2)
    return uid, int(session), int(output)
