"""Evaluations keep their samples and what each scorer says of them; results are worked out from these.

Nothing wrote the former table, which had results alone.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

big = sa.BigInteger()
key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_TABLES = ("verdicts", "sample_texts", "samples", "evaluation_problems", "evaluations")


def upgrade() -> None:
    """Make the tables anew."""
    op.drop_table("evaluations")
    op.create_table(
        "evaluations",
        sa.Column("id", key, primary_key=True),
        sa.Column("digest", sa.LargeBinary(16), nullable=False),
        sa.Column("run_id", sa.Integer()),
        sa.Column("attempt", sa.Integer()),
        sa.Column("step", big, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("problems", sa.Integer(), nullable=False),
        sa.Column("problems_digest", sa.LargeBinary(16), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("text_bytes", big, nullable=False),
        _child_of("runs", "run_id", "evaluations"),
    )
    op.create_index("ix_evaluations_run_id_digest", "evaluations", ["run_id", "digest"], unique=True)
    op.create_index("ix_evaluations_run_id_benchmark_step", "evaluations", ["run_id", "benchmark", "step"])
    _part(
        "evaluation_problems",
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("prompt_id", big, nullable=False),
        keys=["place"],
    )
    op.create_index("ix_evaluation_problems_prompt_id", "evaluation_problems", ["prompt_id"])
    _part(
        "samples",
        *_place_and_sample(),
        sa.Column("finish", sa.String(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("seed", big, nullable=False),
        sa.Column("policy_version", big, nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        keys=["place", "sample"],
    )
    _part(
        "sample_texts",
        *_place_and_sample(),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        keys=["place", "sample"],
        clustered=False,
    )
    _part(
        "verdicts",
        sa.Column("scorer", sa.String(), nullable=False),
        *_place_and_sample(),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("vote", sa.Text(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        keys=["scorer", "place", "sample"],
    )


def downgrade() -> None:
    """Drop them: there is no place for samples before."""
    for table in _TABLES:
        op.drop_table(table)
    op.create_table(
        "evaluations",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("step", big, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("benchmark", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("low", sa.Double()),
        sa.Column("high", sa.Double()),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        _child_of("runs", "run_id", "evaluations"),
        sa.PrimaryKeyConstraint("run_id", "step", "attempt", "benchmark", "metric", name="pk_evaluations"),
        sqlite_with_rowid=False,
    )


def _part(table: str, *columns: sa.Column[Any], keys: list[str], clustered: bool = True) -> None:
    """A table of an evaluation's rows."""
    op.create_table(
        table,
        sa.Column("evaluation_id", key, nullable=False),
        *columns,
        _child_of("evaluations", "evaluation_id", table),
        sa.PrimaryKeyConstraint("evaluation_id", *keys, name=f"pk_{table}"),
        **({"sqlite_with_rowid": False} if clustered else {}),
    )


def _place_and_sample() -> tuple[sa.Column[int], sa.Column[int]]:
    return sa.Column("place", sa.Integer(), nullable=False), sa.Column("sample", sa.Integer(), nullable=False)


def _child_of(parent: str, column: str, table: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{parent}"
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=name, ondelete="CASCADE")
