"""Registering prompts: in bulk, once for all runs that share them, with their words for the search."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, insert, select, text

from verl_spo.errors import StoreError
from verl_spo.store import search
from verl_spo.store.records import IntArray, PromptRecord
from verl_spo.store.schema import Prompt
from verl_spo.store.text import clean, searchable

_CHUNK = 10_000
_DIGEST_BYTES = 16

# Arbitrary; processes that register prompts at the same time take turns.
_LOCK = 7_310_417_264


def register(engine: Engine, prompts: Iterable[PromptRecord]) -> IntArray:
    """Make sure that prompts are in the database, a chunk a transaction.

    Returns:
        Their ids, in order, (n,).
    """
    source = iter(prompts)
    ids: list[IntArray] = []
    while chunk := list(islice(source, _CHUNK)):
        with engine.begin() as connection:
            ids.append(_register_chunk(connection, chunk))
    return np.concatenate(ids) if ids else np.empty(0, dtype=np.int64)


def ids_of(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    """Ids of the prompts that are known, by digest."""
    rows = connection.execute(select(Prompt.digest, Prompt.id).where(Prompt.digest.in_(digests)))
    return {bytes(digest): number for digest, number in rows}


def _register_chunk(connection: Connection, chunk: Sequence[PromptRecord]) -> IntArray:
    _check(chunk)
    digests = [prompt.digest for prompt in chunk]
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    known = ids_of(connection, digests)
    if missing := {prompt.digest: prompt for prompt in chunk if prompt.digest not in known}:
        connection.execute(insert(Prompt), [_row(prompt) for prompt in missing.values()])
        added = ids_of(connection, list(missing))
        search.add(connection, {added[digest]: searchable(p.messages, p.ground_truth) for digest, p in missing.items()})
        known |= added
    return np.fromiter((known[digest] for digest in digests), dtype=np.int64, count=len(digests))


def _row(prompt: PromptRecord) -> dict[str, Any]:
    return {
        "digest": prompt.digest,
        "data_source": clean(prompt.data_source),
        "messages": [dict(message) for message in prompt.messages],
        "ground_truth": clean(prompt.ground_truth),
    }


def _check(chunk: Sequence[PromptRecord]) -> None:
    for prompt in chunk:
        if len(prompt.digest) != _DIGEST_BYTES:
            raise StoreError(f"PromptRecord.digest={prompt.digest.hex()}: must have {_DIGEST_BYTES} bytes")
