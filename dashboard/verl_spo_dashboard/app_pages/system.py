"""What a run runs on, and where its history lies: machine, software, database, writer, and verl's figures of them."""

import platform
import time
from collections.abc import Sequence

import numpy as np
import streamlit as st

from verl_spo import __version__
from verl_spo.config import StoreConfig
from verl_spo.store import Reader, queries
from verl_spo.store.queries import DatabaseSize, RunDetail, RunRow
from verl_spo.store.schema import HEAD
from verl_spo.wording import byte_size
from verl_spo_dashboard import charts, data, frame
from verl_spo_dashboard.charts import Line, Titles
from verl_spo_dashboard.series import last_number
from verl_spo_dashboard.wording import NOTHING, duration, local_time, number

QUEUE = "spo/store/queue_depth"
DISK = "spo/store/disk_free_gb"
_PERF = "perf/"
_MIB = 2**20
_COLUMNS = 3

FIGURES = {
    "perf/throughput": Titles("Throughput", "Tokens that a GPU trains on per second (perf/throughput)", "tokens/s"),
    "perf/total_num_tokens": Titles("Tokens", "Of a step, prompts and answers (perf/total_num_tokens)", "tokens"),
    "perf/time_per_step": Titles("Step time", "Of a whole step (perf/time_per_step)", "seconds"),
    "perf/max_memory_allocated_gb": Titles(
        "GPU memory in use", "Of tensors, at most (perf/max_memory_allocated_gb)", "GiB"
    ),
    "perf/max_memory_reserved_gb": Titles(
        "GPU memory reserved", "By torch, at most (perf/max_memory_reserved_gb)", "GiB"
    ),
    "perf/cpu_memory_used_gb": Titles("Host memory", "In use on the host (perf/cpu_memory_used_gb)", "GiB"),
    QUEUE: Titles("Writer's queue", f"Records that wait for the database ({QUEUE})", "records"),
    DISK: Titles("Free disk", f"On the fullest disk in use ({DISK})", "GiB"),
}
"""What is known of verl's figures and our own; others of `perf/` are shown under their names."""


def _page() -> None:
    with frame.page("System"):
        if chosen := frame.choose():
            frame.live(chosen, _show)


def _show(database: Reader, runs: Sequence[RunRow]) -> None:
    for run in runs:
        detail = queries.find_run(database, run.name)
        if detail is None:
            continue
        curves = _read(database, run)
        _writer(detail, curves)
        _figures(run, curves)
        left, right = st.columns(2, gap="large")
        with left:
            _attempts(detail)
        with right:
            _software(detail)
    _database(database)


def _read(database: Reader, run: RunRow) -> data.Curves:
    held = data.held(database)
    logged = [name for name in queries.metric_names(database, [run.id]) if name.startswith(_PERF)]
    held.system.update(database, [run.id], [*logged, QUEUE, DISK])
    return held.system


def _writer(detail: RunDetail, curves: data.Curves) -> None:
    """The state of the writer, in figures."""
    run, now = detail.run, time.time()
    store = (detail.config.get("spo") or {}).get("store") or {}
    bound = store.get("queue_steps", StoreConfig().queue_steps)
    budget = store.get("rollout_budget_mb", StoreConfig().rollout_budget_mb) * _MIB
    written = duration(now - run.heartbeat_at) + " ago" if run.ended_at is None else "has ended"
    depth = last_number(curves.points(run.id, QUEUE)[1]) if run.ended_at is None else None
    with st.container(horizontal=True, gap="medium"):
        st.metric("Last write", written, width="content", help="The writer's last sign of life: every 5 s or step.")
        st.metric(
            "Waiting records",
            number(depth, 0),
            width="content",
            help=f"For the database, at the last step; training waits when {bound} steps do.",
        )
        st.metric(
            "Texts kept",
            f"{byte_size(run.rollout_bytes)} of {byte_size(budget)}",
            width="content",
            help="Compressed prompts and answers, and the budget spo.store.rollout_budget_mb.",
        )
        free = last_number(curves.points(run.id, DISK)[1])
        st.metric(
            "Free disk",
            NOTHING if np.isnan(free) else f"{free:,.1f} GiB",
            width="content",
            help="Where the history or the checkpoints lie, the lesser of the two, at the last step.",
        )


def _figures(run: RunRow, curves: data.Curves) -> None:
    """verl's figures of host and GPUs, and the writer's, by step."""
    names = [*FIGURES, *(name for name in curves.names if name not in FIGURES)]
    drawn = [
        (
            name,
            charts.lines([Line(run.name, "", steps, values)], _titles(name)),
        )
        for name in names
        if np.isfinite((points := curves.points(run.id, name))[1]).any()
        for steps, values in [points]
    ]
    st.subheader("Host and GPUs", anchor=False)
    if not drawn:
        st.caption("No step has ended yet.")
    for start in range(0, len(drawn), _COLUMNS):
        for column, (name, spec) in zip(
            st.columns(_COLUMNS, gap="medium"), drawn[start : start + _COLUMNS], strict=False
        ):
            column.vega_lite_chart(spec, key=f"system-{name}")


def _titles(name: str) -> Titles:
    """Words around a figure; of one that is not known, its name."""
    if name.startswith("perf/mfu/"):
        return Titles(name, "Share of the GPUs' peak arithmetic that is used", "share")
    return FIGURES.get(name, Titles(name, "As verl logs it", ""))


def _attempts(detail: RunDetail) -> None:
    st.subheader("Attempts", anchor=False)
    if not detail.attempts:
        st.caption("No trainer has held this run yet.")
        return
    st.caption("Starts of the run, anew or from a checkpoint; steps after a later checkpoint no longer count.")
    attempts = detail.attempts
    table = {
        "Attempt": [attempt.attempt for attempt in attempts],
        "Started": [local_time(attempt.started_at) for attempt in attempts],
        "From": ["the beginning" if each.resumed_from is None else f"step {each.resumed_from}" for each in attempts],
        "Counts until": ["" if each.kept_through is None else f"step {max(each.kept_through, 0)}" for each in attempts],
        "Host": [attempt.host for attempt in attempts],
        "Commit": [_commit(attempt.git) for attempt in attempts],
    }
    layout = {
        "Started": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
        "Commit": st.column_config.TextColumn(
            help="Of the folder that the run was started in; + where files differed."
        ),
    }
    st.dataframe(table, column_config=layout, hide_index=True, key="attempts", alt="Attempts")


def _software(detail: RunDetail) -> None:
    st.subheader("Software", anchor=False)
    if not detail.attempts:
        return
    st.caption("Versions that each attempt ran with.")
    names = sorted({name for attempt in detail.attempts for name in attempt.versions})
    columns = {str(each.attempt): [each.versions.get(name, NOTHING) for name in names] for each in detail.attempts}
    layout = {number: st.column_config.TextColumn(f"Attempt {number}") for number in columns}
    st.dataframe({"Package": names, **columns}, column_config=layout, hide_index=True, key="software", alt="Software")


def _commit(git: object) -> str:
    """The first characters of a commit, with a + if files differed from it."""
    if not isinstance(git, dict) or not git.get("commit"):
        return ""
    return str(git["commit"])[:12] + ("+" if git.get("dirty") else "")


def _database(database: Reader) -> None:
    size = _size(database, str(database), int(time.time() / 30))
    st.subheader("Database", anchor=False)
    st.text(f"{database} · {size.version} · {byte_size(size.bytes)} · schema {HEAD}")
    st.text(f"These pages: verl-spo {__version__}, Streamlit {st.__version__}, Python {platform.python_version()}")
    st.caption(
        f"{byte_size(size.text_bytes)} of it are compressed prompts and answers of all runs. Rows are estimated; "
        "verl-spo db stats counts them."
    )
    tables = size.tables
    table: dict[str, list[object]] = {"Table": [each.name for each in tables], "Rows": [each.rows for each in tables]}
    if any(each.bytes is not None for each in tables):
        table["Size"] = [NOTHING if each.bytes is None else byte_size(each.bytes) for each in tables]
    layout = {
        "Rows": st.column_config.NumberColumn("Rows, about", format="localized", help="Estimated."),
        "Size": st.column_config.TextColumn(help="With indexes."),
    }
    st.dataframe(
        table,
        column_config=layout,
        hide_index=True,
        width="content",
        height="content",
        placeholder=NOTHING,
        key="tables",
        alt="Tables",
    )


@st.cache_data(max_entries=4, show_spinner=False)
def _size(_database: Reader, address: str, tick: int) -> DatabaseSize:
    """The database's size, once in a while for all who look."""
    return queries.database_size(_database)


_page()
