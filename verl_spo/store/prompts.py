"""Registering prompts: in bulk, once for all runs that share them, with their words for the search."""

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from sqlalchemy import ARRAY, Connection, Engine, LargeBinary, any_, func, literal, select, text

from verl_spo.errors import StoreError
from verl_spo.store import bulk, search
from verl_spo.store.records import IntArray, PromptRecord
from verl_spo.store.schema import Prompt, table_of
from verl_spo.store.text import clean, dump_json, searchable

_TABLE = table_of(Prompt)
_COLUMNS = ("digest", "data_source", "messages", "ground_truth")
# SQLite takes 32,766 parameters, unless it was built for more.
_CHUNK = 20_000
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
    if len(ids) > 1:
        _settle(engine)
    return np.concatenate(ids) if ids else np.empty(0, dtype=np.int64)


def ids_of(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    """Ids of the prompts that are known, by digest."""
    if connection.dialect.name == "postgresql":
        # One parameter instead of thousands, each of which would have to be parsed.
        known = Prompt.digest == any_(literal(digests, ARRAY(LargeBinary)))
        rows = connection.execute(select(Prompt.digest, Prompt.id).where(known)).all()
    else:
        # SQLAlchemy would give each parameter a name: most of the time would go there.
        places = ", ".join("?" * len(digests))
        query = f"SELECT digest, id FROM prompts WHERE digest IN ({places})"  # noqa: S608
        rows = connection.exec_driver_sql(query, tuple(digests)).all()
    return {bytes(digest): number for digest, number in rows}


def register_in(connection: Connection, prompts: Sequence[PromptRecord]) -> IntArray:
    """`register` as a part of the caller's transaction."""
    starts = range(0, len(prompts), _CHUNK)
    ids = [_register_chunk(connection, prompts[start : start + _CHUNK]) for start in starts]
    return np.concatenate(ids) if ids else np.empty(0, dtype=np.int64)


def _register_chunk(connection: Connection, chunk: Sequence[PromptRecord]) -> IntArray:
    _check(chunk)
    digests = [prompt.digest for prompt in chunk]
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    newest = connection.execute(select(func.max(Prompt.id))).scalar_one() or 0
    known = ids_of(connection, digests)
    if missing := {prompt.digest: prompt for prompt in chunk if prompt.digest not in known}:
        bulk.insert_rows(connection, _TABLE, _COLUMNS, map(_row, missing.values()))
        added = _ids_beyond(connection, newest)
        search.add(connection, {added[digest]: searchable(p.messages, p.ground_truth) for digest, p in missing.items()})
        known |= added
    return np.fromiter((known[digest] for digest in digests), dtype=np.int64, count=len(digests))


def _ids_beyond(connection: Connection, newest: int) -> dict[bytes, int]:
    """Ids of the prompts that this transaction has added, by digest: nobody else may add any meanwhile."""
    rows = bulk.read_columns(connection, select(Prompt.id, Prompt.digest).where(Prompt.id > newest))
    return dict(zip(map(bytes, rows["digest"]), rows["id"].tolist(), strict=True))


def _settle(engine: Engine) -> None:
    """After many prompts: let the databases look at them, which they would do later by themselves."""
    with engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            search.optimize(connection)
        else:
            connection.execute(text("SELECT gin_clean_pending_list('ix_prompt_search_document')"))
            connection.execute(text("ANALYZE prompts, prompt_search"))


def _row(prompt: PromptRecord) -> tuple[bytes, str, str, str]:
    messages = dump_json([dict(message) for message in prompt.messages])
    return prompt.digest, clean(prompt.data_source), messages, clean(prompt.ground_truth)


def _check(chunk: Sequence[PromptRecord]) -> None:
    for prompt in chunk:
        if len(prompt.digest) != _DIGEST_BYTES:
            raise StoreError(f"PromptRecord.digest={prompt.digest.hex()}: must have {_DIGEST_BYTES} bytes")
