"""Finding prompts by their words, with one meaning on both databases.

Words are runs of letters and digits, in lower case. A query's parts, separated by blanks, must all occur; the words
of one part (`12+34`, `"the sum of"`) must follow each other, and the last one may be cut short.
"""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Integer, Select, column, func, select, table, text

from verl_spo.store.schema import prompt_search

_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r'"[^"]*"|\S+')

# Postgres refuses texts that have more than a megabyte of words.
_INDEXED_CHARACTERS = 100_000


def add(connection: Connection, texts: Mapping[int, str]) -> None:
    """Index the texts of prompts, by id; their ids must be new."""
    rows = [{"id": number, "words": " ".join(_words(content))} for number, content in texts.items()]
    if connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO prompt_search (rowid, document) VALUES (:id, :words)"), rows)
    else:
        statement = text("INSERT INTO prompt_search (prompt_id, document) VALUES (:id, to_tsvector('simple', :words))")
        connection.execute(statement, rows)


def parts(query: str) -> list[list[str]]:
    """A query's parts, each as its words; empty if it has no word at all."""
    return [words for part in _PART.findall(query) if (words := _words(part))]


def matching(dialect: str, wanted: list[list[str]]) -> Select[*tuple[Any, ...]]:
    """Ids of the prompts that have all the parts."""
    if dialect == "sqlite":
        pattern = " AND ".join(f'"{" ".join(words)}"*' for words in wanted)
        found = table("prompt_search", column("rowid", Integer), column("prompt_search"))
        return select(found.c.rowid.label("prompt_id")).where(found.c.prompt_search.op("MATCH")(pattern))
    pattern = " & ".join(f"({' <-> '.join(words)}:*)" for words in wanted)
    matches = prompt_search.c.document.op("@@")(func.to_tsquery(text("'simple'"), pattern))
    return select(prompt_search.c.prompt_id).where(matches)


def _words(content: str) -> list[str]:
    return _WORD.findall(content[:_INDEXED_CHARACTERS].lower())
