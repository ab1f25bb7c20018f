"""The prompt pool: the training set's distinct prompts, each with an identity that outlives shuffling and restarts."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from verl_spo.errors import DataError
from verl_spo.store.records import PromptRecord

DIGEST_BYTES = 16


def prompt_digest(data_source: str, messages: Sequence[Mapping[str, Any]], ground_truth: Any) -> bytes:
    """Identity of a prompt: 128 bits of its source, all its chat messages and its ground truth.

    Not the first message's text (prompts that share a system prompt would collapse) and not the row's index (a
    re-shuffled file would change it).
    """
    canonical = json.dumps([data_source, list(messages), ground_truth], sort_keys=True, separators=(",", ":"))
    return blake2b(canonical.encode(), digest_size=DIGEST_BYTES).digest()


class PromptPool:
    """Distinct prompts of a data set, by slot: 0 .. len - 1 in the order of their first appearance.

    Attributes:
        digests: Identity of each slot's prompt.
        rows: (slots,) int64, the data set's row to dispatch for a slot.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], prompt_key: str = "prompt") -> None:
        self._source = rows
        self._prompt_key = prompt_key
        first_row: dict[bytes, int] = {}
        for number, row in enumerate(rows):
            first_row.setdefault(prompt_digest(*self._identity(row, number)), number)
        if not first_row:
            raise DataError("data.train_files: no prompts left to train on; check the files and data.max_prompt_length")
        self.digests = list(first_row)
        self.rows = np.fromiter(first_row.values(), dtype=np.int64, count=len(first_row))

    def __len__(self) -> int:
        return len(self.digests)

    def fingerprint(self) -> bytes:
        """Digest of the whole pool, slots in order: a checkpoint's arrays mean nothing for another pool."""
        return blake2b(b"".join(self.digests), digest_size=DIGEST_BYTES).digest()

    def name(self, slot: int) -> str:
        """A slot's prompt in messages: its last message, cut short."""
        return textwrap.shorten(repr(self.text(slot)), 80)

    def text(self, slot: int) -> str:
        """The text of a slot's last message."""
        _, messages, _ = self._identity(self._source[int(self.rows[slot])], slot)
        return str(messages[-1].get("content"))

    def records(self) -> Iterator[PromptRecord]:
        """What the store keeps of each slot's prompt, in order."""
        for digest, row in zip(self.digests, self.rows, strict=True):
            source, messages, truth = self._identity(self._source[int(row)], int(row))
            yield PromptRecord(digest=digest, data_source=source, messages=messages, ground_truth=str(truth))

    def _identity(self, row: Mapping[str, Any], number: int) -> tuple[str, list[dict[str, Any]], Any]:
        messages, reward_model = row.get(self._prompt_key), row.get("reward_model") or {}
        if not messages:
            raise DataError(f"data.train_files: row {number} has no prompt (column {self._prompt_key!r})")
        if reward_model.get("ground_truth") is None:
            raise DataError(f"data.train_files: row {number} has no reward_model.ground_truth")
        return (
            row.get("data_source") or "unknown",
            [dict(message) for message in messages],
            reward_model["ground_truth"],
        )
