"""Write the reference of the database's tables: `python docs/write_schema.py` writes reference/schema.md."""

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from verl_spo.store.schema import HEAD, Base

DOCUMENT = Path(__file__).parent / "reference" / "schema.md"
_HEAD = f"""# Schema

The tables of revision {HEAD}, made from `verl_spo/store/schema.py` by `make reference`; [The store](../store.md) says
what a row of each is, and how to ask in SQL; it has the view `observation_history` too. Times are seconds since 1970
(UTC), NaN is stored as NULL, and types are those of Postgres. The tables of many rows name no other table: a check a
row would cost more than writing it.
"""


def main() -> None:
    """Write the page."""
    DOCUMENT.write_text(page())


def page() -> str:
    """The page of the schema as it is, as Markdown."""
    meanings = {mapper.local_table.name: cleandoc(mapper.class_.__doc__ or "") for mapper in Base.registry.mappers}
    meanings["prompt_search"] = "Words of the prompts. On SQLite an FTS5 table, which keeps the index but not the text."
    sections = [
        "\n".join([f"## {table.name}", "", *_paragraph(meanings.get(table.name, "")), *_columns(table)])
        for table in Base.metadata.tables.values()
    ]
    return "\n\n".join([_HEAD.strip(), *sections]) + "\n"


def _paragraph(text: str) -> list[str]:
    return [text, ""] if text else []


def _columns(table: Table) -> Iterator[str]:
    yield "| column | type | meaning |"
    yield "|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {_kind(column)} | {'. '.join(_words(column))} |"


def _kind(column: Column[object]) -> str:
    """The type on Postgres, whose names say more than SQLite's."""
    return column.type.compile(dialect=postgresql.dialect()).lower()


def _words(column: Column[object]) -> Iterator[str]:
    if column.primary_key:
        yield "Key"
    yield from (f"Of `{key.target_fullname}`" for key in column.foreign_keys)
    if column.nullable:
        yield "May be NULL"
    if column.doc:
        yield column.doc.removesuffix(".").replace("|", "\\|")


if __name__ == "__main__":
    main()
