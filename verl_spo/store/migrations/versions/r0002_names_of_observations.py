"""Columns of observations say what they are: `drift` was the policy change D, `session` the request's uid."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NEW_NAMES = {"drift": "policy_change", "session": "uid"}


def upgrade() -> None:
    """Rename them."""
    _rename(_NEW_NAMES)


def downgrade() -> None:
    """Give them their former names."""
    _rename({new: old for old, new in _NEW_NAMES.items()})


def _rename(names: dict[str, str]) -> None:
    # Postgres keeps the names that a view had when it was made.
    op.execute("DROP VIEW observation_history")
    for old, new in names.items():
        op.execute(f"ALTER TABLE observations RENAME COLUMN {old} TO {new}")
    op.execute(
        "CREATE VIEW observation_history AS SELECT runs.name AS run, prompts.data_source, observations.*, "
        "(attempts.kept_through IS NOT NULL AND observations.step > attempts.kept_through) AS superseded "
        "FROM observations JOIN runs ON runs.id = observations.run_id JOIN attempts ON attempts.run_id = "
        "observations.run_id AND attempts.attempt = observations.attempt JOIN prompts ON prompts.id = "
        "observations.prompt_id"
    )
