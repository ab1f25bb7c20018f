"""The tables, as a person queries them by hand; `migrations/` makes them, and a test keeps the two equal.

Times are seconds since the epoch (UTC). NaN is NULL; in JSON, NaN and infinities are null. The volume tables
(`tracker_state`, `observations`, `rollouts`, `metrics`) declare no foreign keys: a check a row would cost more than
writing the row. Their one writer is `writing/tables.py`.
"""

from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Every revision of the schema, oldest first; a test compares it with `migrations/versions`."""

HEAD = REVISIONS[-1]

# SQLite's row ids, which make keys of their own, are of the type INTEGER alone.
Key = BigInteger().with_variant(Integer(), "sqlite")

CLUSTERED = {"sqlite_with_rowid": False}


class Base(DeclarativeBase):
    """All tables."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Run(Base):
    """A run: what changes while it trains. What does not stands in its attempts."""

    __tablename__ = "runs"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String, unique=True)
    uid: Mapped[str] = mapped_column(String, doc="Hex; stands in the run's checkpoints too. Empty before attempt 1.")
    status: Mapped[str] = mapped_column(String, doc="A `Status` (runs/status.py).")
    attempt: Mapped[int] = mapped_column(Integer, doc="The present one, from 1; 0 before a trainer has held it.")
    owner: Mapped[str] = mapped_column(String, doc="The writer that may write: host:process namespace:pid:start:token.")
    applied: Mapped[int] = mapped_column(BigInteger, doc="Records of the owner that are in; makes a replay exact.")
    created_at: Mapped[float] = mapped_column(Double)
    heartbeat_at: Mapped[float] = mapped_column(Double)
    ended_at: Mapped[float | None] = mapped_column(Double)
    last_step: Mapped[int] = mapped_column(BigInteger, doc="0 before the first.")
    clock: Mapped[float] = mapped_column(Double, doc="Event time that evidence has aged to; 0 for kl and constant.")
    pool_size: Mapped[int] = mapped_column(BigInteger)
    pool_digest: Mapped[bytes] = mapped_column(LargeBinary)
    rollout_bytes: Mapped[int] = mapped_column(BigInteger, doc="Compressed text that the run keeps.")
    tags: Mapped[list[str]] = mapped_column(JSON)
    parent_uid: Mapped[str | None] = mapped_column(String, doc="Of the run that this one branched from; NULL: none.")
    parent_name: Mapped[str | None] = mapped_column(String, doc="Its name then.")
    parent_step: Mapped[int | None] = mapped_column(BigInteger, doc="Of its checkpoint; this run's steps follow it.")
    phase: Mapped[str | None] = mapped_column(Text, doc="What it does until its first step of the attempt ends.")
    error: Mapped[str | None] = mapped_column(Text, doc="Why its last start or attempt failed; secrets are hidden.")
    starter: Mapped[str | None] = mapped_column(
        String, doc="The launcher of its last start, as `owner` names a writer."
    )
    starting_at: Mapped[float | None] = mapped_column(
        Double, doc="The starter's last sign of life; NULL once a trainer holds the run or the start has ended."
    )

    __table_args__ = (Index(None, "created_at", "id"),)


class Attempt(Base):
    """One start of a run, anew or from a checkpoint.

    A row of step s is superseded where s > `kept_through`: history is never rewritten.
    """

    __tablename__ = "attempts"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    started_at: Mapped[float] = mapped_column(Double)
    resumed_from: Mapped[int | None] = mapped_column(BigInteger, doc="Step of the checkpoint; NULL if it began anew.")
    kept_through: Mapped[int | None] = mapped_column(BigInteger, doc="Last step that still counts; NULL: all do.")
    host: Mapped[str] = mapped_column(String)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    versions: Mapped[dict[str, str]] = mapped_column(JSON)
    git: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Prompt(Base):
    """A prompt, shared by all runs that have it in their pool."""

    __tablename__ = "prompts"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    data_source: Mapped[str] = mapped_column(Text)
    messages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    ground_truth: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index(None, "data_source", "id"),)


prompt_search = Table(
    "prompt_search",
    Base.metadata,
    Column("prompt_id", BigInteger, primary_key=True, autoincrement=False),
    Column("document", TSVECTOR, nullable=False),
    Index("ix_prompt_search_document", "document", postgresql_using="gin"),
)
"""Words of the prompts. On SQLite an FTS5 table of the same name, which keeps the index but not the text."""


class TrackerState(Base):
    """The value tracker's state of one prompt in one run, after the run's last step.

    v_hat is alpha / (alpha + beta), and the evidence behind it (alpha + beta) exp(z - runs.clock). No index orders by
    them: readers keep a pool in memory (queries/pool.py).
    """

    __tablename__ = "tracker_state"

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    prompt_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    alpha: Mapped[float] = mapped_column(Double)
    beta: Mapped[float] = mapped_column(Double)
    z: Mapped[float] = mapped_column(Double)
    visits: Mapped[int] = mapped_column(BigInteger)
    last_step: Mapped[int] = mapped_column(BigInteger, doc="0 for a prompt that was not visited.")

    __table_args__ = (CLUSTERED,)


class InitScore(Base):
    """Scores of a prompt from before training (`spo.init`, or imported)."""

    __tablename__ = "init_scores"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    responses: Mapped[int] = mapped_column(Integer)
    reward_sum: Mapped[float] = mapped_column(Double)

    __table_args__ = (CLUSTERED,)


class Observation(Base):
    """One finished trajectory's outcome for one prompt. Only ever inserted, and pruned on request."""

    __tablename__ = "observations"

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, doc="Place in the step's batch, from 0.")
    prompt_id: Mapped[int] = mapped_column(BigInteger)
    policy_version: Mapped[int] = mapped_column(BigInteger, doc="Of the weights that generated it.")
    reward: Mapped[float] = mapped_column(Double, doc="In [0, 1].")
    baseline: Mapped[float | None] = mapped_column(
        Double, doc="Frozen at dispatch: v_hat, unless `spo.baseline` says otherwise."
    )
    advantage: Mapped[float | None] = mapped_column(Double, doc="Normalized.")
    rho: Mapped[float | None] = mapped_column(Double, doc="Retention that was applied.")
    policy_change: Mapped[float | None] = mapped_column(Double, doc="D, in nats per token.")
    alpha: Mapped[float] = mapped_column(Double, doc="After this step.")
    beta: Mapped[float] = mapped_column(Double)
    response_length: Mapped[int] = mapped_column(Integer, doc="Tokens that the model generated.")
    uid: Mapped[str] = mapped_column(Text, doc="Of the request.")
    finish: Mapped[str | None] = mapped_column(String, doc="A `Finish` (records.py); NULL: not known, as the next two.")
    seconds: Mapped[float | None] = mapped_column(Double, doc="That the session generated and waited for tools.")
    turns: Mapped[int | None] = mapped_column(Integer, doc="Messages that the model wrote in the session.")

    __table_args__ = (Index(None, "run_id", "prompt_id", "step"), CLUSTERED)


class Rollout(Base):
    """The text of an observation of the same key, where it was kept."""

    __tablename__ = "rollouts"

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    size: Mapped[int] = mapped_column(Integer, doc="Bytes of `content`.")
    content: Mapped[bytes] = mapped_column(
        LargeBinary, doc="zstd of the JSON [prompt, response], with [[author, tokens, text], ...] of several turns."
    )

    # Half of SQLite's pages stay in the table's interior if such long rows are clustered.
    __table_args__ = (Index(None, "run_id", "step", "size"),)


class Series(Base):
    """The name of one metric of one run."""

    __tablename__ = "series"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)

    __table_args__ = (Index("uq_series_run_id_name", "run_id", "name", unique=True),)


class Metric(Base):
    """One number of a series."""

    __tablename__ = "metrics"

    series_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[float | None] = mapped_column(Double)

    __table_args__ = (CLUSTERED,)


class StepSummary(Base):
    """What one step left behind, so that no page has to aggregate history."""

    __tablename__ = "step_summaries"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    time: Mapped[float] = mapped_column(Double)
    clock: Mapped[float] = mapped_column(Double)
    observations: Mapped[int] = mapped_column(Integer)
    reward_mean: Mapped[float | None] = mapped_column(Double)
    value_histogram: Mapped[list[int]] = mapped_column(JSON, doc="Prompts of the pool in equal bins of v_hat.")
    details: Mapped[dict[str, Any]] = mapped_column(
        JSON, doc="Further counts; `classes` by data source and `moves` between them: core/difficulty.py."
    )

    __table_args__ = (CLUSTERED,)


class Evaluation(Base):
    """One policy on one benchmark. Whoever asks for the same again adds to it."""

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    digest: Mapped[bytes] = mapped_column(
        LargeBinary(16), doc="Of the policy, the problems with their ground truths, and the settings."
    )
    run_id: Mapped[int | None] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), doc="NULL: a model of no run."
    )
    attempt: Mapped[int | None] = mapped_column(Integer, doc="Of the run, that the policy is of.")
    step: Mapped[int] = mapped_column(BigInteger, doc="Of the policy; 0 before training, and of a model of no run.")
    model: Mapped[str] = mapped_column(Text, doc="Its name or folder; of a run, the one that it trains from.")
    benchmark: Mapped[str] = mapped_column(Text)
    problems: Mapped[int] = mapped_column(Integer)
    problems_digest: Mapped[bytes] = mapped_column(LargeBinary(16), doc="Equal where ground truths are, too.")
    wanted: Mapped[int] = mapped_column(Integer, doc="Samples per problem that were asked for.")
    origin: Mapped[str] = mapped_column(String, doc="An `Origin` (records.py).")
    settings: Mapped[dict[str, Any]] = mapped_column(JSON, doc="How it was sampled.")
    started_at: Mapped[float] = mapped_column(Double)
    text_bytes: Mapped[int] = mapped_column(BigInteger, doc="Compressed text that it keeps.")

    __table_args__ = (Index(None, "run_id", "digest", unique=True), Index(None, "run_id", "benchmark", "step"))


class EvaluationProblem(Base):
    """A problem's place in the benchmark of an evaluation."""

    __tablename__ = "evaluation_problems"

    evaluation_id: Mapped[int] = mapped_column(Key, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, doc="From 0.")
    prompt_id: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (Index(None, "prompt_id"), CLUSTERED)


class Sample(Base):
    """One answer to one problem."""

    __tablename__ = "samples"

    evaluation_id: Mapped[int] = mapped_column(Key, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, doc="Of the problem.")
    sample: Mapped[int] = mapped_column(Integer, primary_key=True, doc="From 0.")
    finish: Mapped[str] = mapped_column(String, doc="A `Finish` (records.py).")
    length: Mapped[int] = mapped_column(Integer, doc="Tokens that the model generated.")
    seed: Mapped[int] = mapped_column(BigInteger, doc="Of the sampler; -1: it was given none.")
    policy_version: Mapped[int] = mapped_column(BigInteger, doc="Of the weights that generated it.")
    time: Mapped[float] = mapped_column(Double)

    __table_args__ = (CLUSTERED,)


class SampleText(Base):
    """The text of a sample of the same key, where it was kept."""

    __tablename__ = "sample_texts"

    evaluation_id: Mapped[int] = mapped_column(Key, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    sample: Mapped[int] = mapped_column(Integer, primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary, doc="zstd of the JSON pair [prompt, response].")


class Verdict(Base):
    """What one scorer says of one sample."""

    __tablename__ = "verdicts"

    evaluation_id: Mapped[int] = mapped_column(Key, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True)
    scorer: Mapped[str] = mapped_column(String, primary_key=True, doc="`reward` is the recipe's own reward function.")
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    sample: Mapped[int] = mapped_column(Integer, primary_key=True)
    score: Mapped[float] = mapped_column(Double, doc="In [0, 1].")
    found: Mapped[str] = mapped_column(Text, doc="The answer in the response; empty: none.")
    vote: Mapped[str] = mapped_column(Text, doc="The same for equal answers to a problem; empty: abstains.")
    failed: Mapped[int] = mapped_column(Integer, doc="1: no judgement; it took too long, or raised an error.")

    __table_args__ = (CLUSTERED,)


OF_EVALUATIONS: tuple[type[Base], ...] = (EvaluationProblem, Sample, SampleText, Verdict)
"""The tables that belong to `evaluations`, and go with their rows."""


def table_of(model: type[Base]) -> Table:
    """A model's table, for statements that write or read many rows."""
    return cast(Table, model.__table__)
