"""Observations tell how their sessions ended, how long they took, and how many messages the model wrote."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, Any] = {"finish": sa.String(), "seconds": sa.Double(), "turns": sa.Integer()}


def upgrade() -> None:
    """Add them; of what is there, nobody knows."""
    op.execute("DROP VIEW observation_history")
    for name, kind in _COLUMNS.items():
        op.add_column("observations", sa.Column(name, kind, nullable=True))
    _make_view()


def downgrade() -> None:
    """Forget them, and the texts of rollouts: those of several turns could not be read without their parts."""
    op.execute("DROP VIEW observation_history")
    for name in _COLUMNS:
        op.drop_column("observations", name)
    op.execute("DELETE FROM rollouts")
    op.execute("UPDATE runs SET rollout_bytes = 0")
    _make_view()


def _make_view() -> None:
    # Postgres keeps the columns that a view had when it was made.
    op.execute(
        "CREATE VIEW observation_history AS SELECT runs.name AS run, prompts.data_source, observations.*, "
        "(attempts.kept_through IS NOT NULL AND observations.step > attempts.kept_through) AS superseded "
        "FROM observations JOIN runs ON runs.id = observations.run_id JOIN attempts ON attempts.run_id = "
        "observations.run_id AND attempts.attempt = observations.attempt JOIN prompts ON prompts.id = "
        "observations.prompt_id"
    )
