"""Runs may branch from a checkpoint of another one: their parent."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "parent_uid": sa.String(),
    "parent_name": sa.String(),
    "parent_step": sa.BigInteger(),
}


def upgrade() -> None:
    """Add the parent's columns; the runs that are there have none."""
    for name, kind in _COLUMNS.items():
        op.add_column("runs", sa.Column(name, kind))


def downgrade() -> None:
    """Drop them: the runs stay."""
    for name in _COLUMNS:
        op.drop_column("runs", name)
