"""A run is visible while it starts: who starts it, what it does, and why that failed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = {"phase": sa.Text(), "error": sa.Text(), "starter": sa.String(), "starting_at": sa.Double()}


def upgrade() -> None:
    """Add them."""
    for name, kind in _COLUMNS.items():
        op.add_column("runs", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Forget them; a run whose trainer never held it is none without them."""
    op.execute("DELETE FROM runs WHERE attempt = 0")
    for name in _COLUMNS:
        op.drop_column("runs", name)
