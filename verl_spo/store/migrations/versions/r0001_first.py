"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "evaluations",
    "step_summaries",
    "metrics",
    "series",
    "rollouts",
    "observations",
    "init_scores",
    "tracker_state",
    "prompt_search",
    "prompts",
    "attempts",
    "runs",
)

big = sa.BigInteger()
key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    _runs()
    _prompts()
    _tracker()
    _observations()
    _metrics()
    _summaries()


def downgrade() -> None:
    """Drop every table."""
    op.execute("DROP VIEW observation_history")
    for table in TABLES:
        op.drop_table(table)


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("uid", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("applied", big, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("last_step", big, nullable=False),
        sa.Column("clock", sa.Double(), nullable=False),
        sa.Column("pool_size", big, nullable=False),
        sa.Column("pool_digest", sa.LargeBinary(), nullable=False),
        sa.Column("rollout_bytes", big, nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("name", name="uq_runs_name"),
    )
    op.create_index("ix_runs_created_at_id", "runs", ["created_at", "id"])
    op.create_table(
        "attempts",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("resumed_from", big),
        sa.Column("kept_through", big),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("git", sa.JSON()),
        _of_run("attempts"),
        sa.PrimaryKeyConstraint("run_id", "attempt", name="pk_attempts"),
    )


def _prompts() -> None:
    op.create_table(
        "prompts",
        sa.Column("id", key, nullable=False),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sa.Column("data_source", sa.Text(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("ground_truth", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_prompts"),
        sa.UniqueConstraint("digest", name="uq_prompts_digest"),
    )
    op.create_index("ix_prompts_data_source_id", "prompts", ["data_source", "id"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE VIRTUAL TABLE prompt_search "
            "USING fts5(document, content='', tokenize='unicode61 remove_diacritics 0')"
        )
        return
    op.create_table(
        "prompt_search",
        sa.Column("prompt_id", big, nullable=False, autoincrement=False),
        sa.Column("document", TSVECTOR(), nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", name="pk_prompt_search"),
    )
    op.create_index("ix_prompt_search_document", "prompt_search", ["document"], postgresql_using="gin")


def _tracker() -> None:
    op.create_table(
        "tracker_state",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", big, nullable=False),
        sa.Column("alpha", sa.Double(), nullable=False),
        sa.Column("beta", sa.Double(), nullable=False),
        sa.Column("z", sa.Double(), nullable=False),
        sa.Column("visits", big, nullable=False),
        sa.Column("last_step", big, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("evidence", sa.Double(), nullable=False),
        sa.Column("uncertainty", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "prompt_id", name="pk_tracker_state"),
        sqlite_with_rowid=False,
    )
    for column in ("value", "evidence", "visits", "last_step", "uncertainty"):
        op.create_index(f"ix_tracker_state_run_id_{column}_prompt_id", "tracker_state", ["run_id", column, "prompt_id"])
    op.create_table(
        "init_scores",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("prompt_id", big, nullable=False),
        sa.Column("responses", sa.Integer(), nullable=False),
        sa.Column("reward_sum", sa.Double(), nullable=False),
        _of_run("init_scores"),
        sa.PrimaryKeyConstraint("run_id", "prompt_id", name="pk_init_scores"),
        sqlite_with_rowid=False,
    )


def _observations() -> None:
    op.create_table(
        "observations",
        *_step_key(),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("prompt_id", big, nullable=False),
        sa.Column("policy_version", big, nullable=False),
        sa.Column("reward", sa.Double(), nullable=False),
        sa.Column("baseline", sa.Double()),
        sa.Column("advantage", sa.Double()),
        sa.Column("rho", sa.Double()),
        sa.Column("drift", sa.Double()),
        sa.Column("alpha", sa.Double(), nullable=False),
        sa.Column("beta", sa.Double(), nullable=False),
        sa.Column("response_length", sa.Integer(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt", "seq", name="pk_observations"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_observations_run_id_prompt_id_step", "observations", ["run_id", "prompt_id", "step"])
    op.execute(
        "CREATE VIEW observation_history AS SELECT runs.name AS run, prompts.data_source, observations.*, "
        "(attempts.kept_through IS NOT NULL AND observations.step > attempts.kept_through) AS superseded "
        "FROM observations JOIN runs ON runs.id = observations.run_id JOIN attempts ON attempts.run_id = "
        "observations.run_id AND attempts.attempt = observations.attempt JOIN prompts ON prompts.id = "
        "observations.prompt_id"
    )
    op.create_table(
        "rollouts",
        *_step_key(),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt", "seq", name="pk_rollouts"),
    )
    op.create_index("ix_rollouts_run_id_step_size", "rollouts", ["run_id", "step", "size"])


def _metrics() -> None:
    op.create_table(
        "series",
        sa.Column("id", key, nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _of_run("series"),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
    )
    op.create_index("uq_series_run_id_name", "series", ["run_id", "name"], unique=True)
    op.create_table(
        "metrics",
        sa.Column("series_id", big, nullable=False),
        sa.Column("step", big, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.PrimaryKeyConstraint("series_id", "step", "attempt", name="pk_metrics"),
        sqlite_with_rowid=False,
    )


def _summaries() -> None:
    op.create_table(
        "step_summaries",
        *_step_key(),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("clock", sa.Double(), nullable=False),
        sa.Column("observations", sa.Integer(), nullable=False),
        sa.Column("reward_mean", sa.Double()),
        sa.Column("value_histogram", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        _of_run("step_summaries"),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt", name="pk_step_summaries"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "evaluations",
        *_step_key(),
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("low", sa.Double()),
        sa.Column("high", sa.Double()),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        _of_run("evaluations"),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt", "benchmark", "metric", name="pk_evaluations"),
        sqlite_with_rowid=False,
    )


def _step_key() -> tuple[sa.Column[int], ...]:
    return (
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("step", big, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
    )


def _of_run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=f"fk_{table}_run_id_runs", ondelete="CASCADE")
