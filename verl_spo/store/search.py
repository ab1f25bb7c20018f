"""Finding prompts by their words, with one meaning on both databases.

Words are runs of letters and digits, in any case. A query's parts, separated by blanks, must all occur; the words of
one part (`12+34`, `"the sum of"`) must follow each other. `triang*` finds all words that begin so.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    column,
    func,
    insert,
    select,
    table,
    text,
)

from verl_spo.store.bulk import pgcopy
from verl_spo.store.schema import prompt_search

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r'"[^"]*"\*?|\S+')
_FTS = table("prompt_search", column("rowid", Integer), column("prompt_search"))

# Postgres refuses texts that have more than a megabyte of words.
_INDEXED_CHARACTERS = 100_000


@dataclass(frozen=True)
class Part:
    """Words that follow each other; `prefix` if the last one may go on."""

    words: tuple[str, ...]
    prefix: bool


def add(connection: Connection, texts: Mapping[int, str]) -> None:
    """Index the texts of prompts, by id; their ids must be new."""
    rows = [(number, " ".join(_words(content))) for number, content in texts.items()]
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("INSERT INTO prompt_search (rowid, document) VALUES (?, ?)", rows)
        return
    staged = pgcopy.temporary(connection, "prompt_words", Column("prompt_id", BigInteger), Column("words", Text))
    pgcopy.insert_rows(connection, staged, ["prompt_id", "words"], rows)
    documents = select(staged.c.prompt_id, func.to_tsvector(text("'simple'"), staged.c.words))
    connection.execute(insert(prompt_search).from_select(["prompt_id", "document"], documents))


def optimize(connection: Connection) -> None:
    """Merge the pieces that SQLite's index consists of after many insertions."""
    connection.exec_driver_sql("INSERT INTO prompt_search (prompt_search) VALUES ('optimize')")


def parse(query: str) -> tuple[Part, ...]:
    """A query's parts; none if it has no word at all."""
    found = (Part(tuple(_words(part)), part.endswith("*")) for part in _PART.findall(query))
    return tuple(part for part in found if part.words)


def matcher(query: Sequence[Part]) -> Callable[[str], bool]:
    """Whether a text that no index knows matches; of one without an end, all of it is looked at."""
    patterns = [re.compile(_pattern(part)) for part in query]
    words = {word for part in query for word in part.words}

    def test(content: str) -> bool:
        lowered = content.lower()
        # Patterns are slow, and most texts lack a word.
        return all(word in lowered for word in words) and all(pattern.search(lowered) for pattern in patterns)

    return test


def _pattern(part: Part) -> str:
    end = "" if part.prefix else r"(?![^\W_])"
    return r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, part.words)) + end


def ids(dialect: str, query: Sequence[Part]) -> Select[*tuple[Any, ...]]:
    """Ids of the prompts that match."""
    if dialect == "sqlite":
        return select(_FTS.c.rowid.label("prompt_id")).where(_FTS.c.prompt_search.op("MATCH")(_fts_pattern(query)))
    return select(prompt_search.c.prompt_id).where(_document_matches(query))


def _fts_pattern(query: Sequence[Part]) -> str:
    return " AND ".join(f'"{" ".join(part.words)}"' + "*" * part.prefix for part in query)


def _document_matches(query: Sequence[Part]) -> ColumnElement[bool]:
    pattern = " & ".join("(" + " <-> ".join(part.words) + ":*" * part.prefix + ")" for part in query)
    found: ColumnElement[bool] = prompt_search.c.document.op("@@")(func.to_tsquery(text("'simple'"), pattern))
    return found


def _words(content: str) -> list[str]:
    return _WORD.findall(content[:_INDEXED_CHARACTERS].lower())
