"""Rows of tables as the dataclasses that queries return."""

from dataclasses import fields
from typing import Any

from sqlalchemy import Column

from verl_spo.store.schema import Base, table_of


def columns_of(model: type[Base], row: type) -> list[Column[Any]]:
    """The columns of a table that a dataclass has fields for, in their order."""
    columns = table_of(model).c
    return [columns[field.name] for field in fields(row) if field.name in columns]
