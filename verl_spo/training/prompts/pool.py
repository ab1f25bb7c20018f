"""The prompt pool: the training set's distinct prompts, each with an identity that outlives shuffling and restarts."""

import logging
import textwrap
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from tqdm import tqdm

from verl_spo.errors import DataError
from verl_spo.store.records import PromptRecord
from verl_spo.training.prompts.identity import DIGEST_BYTES, VERL_FIELDS, Fields, Prompt, ignored, prompt_of
from verl_spo.training.prompts.rows import rows_of

_log = logging.getLogger(__name__)

# Duplicates with another note beside them are a few of a hundred rows; beyond that it is prompts that get lost.
_MOST_MERGED = 0.1


class PromptPool:
    """Distinct prompts of a data set, by slot: 0 .. len - 1 in the order of their first appearance.

    Attributes:
        digests: Identity of each slot's prompt.
        rows: (slots,) int64, the data set's row to dispatch for a slot.
    """

    def __init__(self, source: Any, fields: Fields = VERL_FIELDS) -> None:
        """Read a data set.

        Args:
            source: Rows as verl reads them: a Hugging Face data set, or any sequence of mappings.
            fields: Where the parts of a prompt stand in a row.

        Raises:
            DataError: It has no prompts, or many rows would be lost as repetitions of others, from which they differ.
        """
        self._source = rows_of(source, fields)
        self._fields = fields
        merged = self._read()
        if not self.digests:
            raise DataError("data.train_files: no prompts left to train on; check the files and data.max_prompt_length")
        self._check_fields()
        self._report(merged)

    def __len__(self) -> int:
        return len(self.digests)

    def fingerprint(self) -> bytes:
        """Digest of the whole pool, slots in order: a checkpoint's arrays mean nothing for another pool."""
        return blake2b(b"".join(self.digests), digest_size=DIGEST_BYTES).digest()

    def name(self, slot: int) -> str:
        """A slot's prompt in messages: its last message, cut short."""
        row = int(self.rows[slot])
        return textwrap.shorten(repr(prompt_of(self._source[row], self._fields, row).text), 80)

    def prompts(self) -> Iterator[Prompt]:
        """Each slot's prompt, in order."""
        return self._source.prompts(self.rows)

    def records(self) -> Iterator[PromptRecord]:
        """What the store keeps of each slot's prompt, in order."""
        for digest, prompt in zip(self.digests, self.prompts(), strict=True):
            yield PromptRecord(digest, prompt.data_source, prompt.messages, prompt.truth_text)

    def _read(self) -> list[tuple[int, int]]:
        """Find the distinct prompts; rows that count as another row's prompt but say something else, each with it."""
        first: dict[bytes, tuple[int, bytes]] = {}
        merged: list[tuple[int, int]] = []
        with tqdm(total=len(self._source), desc="Prompts", unit="row", unit_scale=True, delay=1) as bar:
            for rows in self._source.digests():
                for number, (digest, beyond) in enumerate(rows, bar.n):
                    earlier, said = first.setdefault(digest, (number, beyond))
                    if beyond != said:
                        merged.append((earlier, number))
                bar.update(len(rows))
        self.digests = list(first)
        self.rows = np.fromiter((number for number, _ in first.values()), dtype=np.int64, count=len(first))
        return merged

    def _check_fields(self) -> None:
        for name in self._fields.further or ():
            if not {name, f"extra_info.{name}"} & self._source.leaves:
                others = ", ".join(sorted(filter(self._fields.ignores, self._source.leaves)))
                raise DataError(f"spo.identity_fields: no row of data.train_files has {name!r}; rows have {others}")

    def _report(self, merged: list[tuple[int, int]]) -> None:
        _log.warning("data.train_files: %d rows, %d distinct prompts", len(self._source), len(self))
        if not merged:
            return
        shown = (
            f"{len(merged)} rows count as repetitions of others but differ from them: {self._difference(*merged[0])}"
        )
        if self._fields.further is None and len(merged) > _MOST_MERGED * len(self._source):
            raise DataError(
                f"data.train_files: {shown}. If that makes another prompt, name it in spo.identity_fields; if nothing "
                "does, set spo.identity_fields=[]"
            )
        _log.warning("data.train_files: %s (spo.identity_fields)", shown)

    def _difference(self, earlier: int, later: int) -> str:
        """What a row says otherwise than an earlier one of the same prompt."""
        one, other = (ignored(self._source[number], self._fields) for number in (earlier, later))
        name = min((name for name in {*one, *other} if one.get(name) != other.get(name)), default="a column")
        values = (textwrap.shorten(repr(said.get(name)), 60) for said in (one, other))
        return f"in row {earlier} {name} is {next(values)}, in row {later} it is {next(values)}"
