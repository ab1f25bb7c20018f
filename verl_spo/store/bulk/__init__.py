"""Many rows at once."""

from verl_spo.store.bulk.rows import (
    insert_columns,
    insert_rows,
    plain,
    read_columns,
    update_columns,
    upsert_columns,
)

__all__ = ["insert_columns", "insert_rows", "plain", "read_columns", "update_columns", "upsert_columns"]
