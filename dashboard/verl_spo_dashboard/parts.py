"""What several pages show: errors, empty states, a run's status.

Whatever comes from a run, a prompt or a model (names, texts, and messages of errors, which quote them) is shown by
`st.text`, `st.code`, `st.dataframe`, options of select boxes and charts only, and escaped by `text_differences.py`:
Streamlit's labels, captions and alerts read Markdown.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import streamlit as st

from verl_spo.errors import SPOError
from verl_spo.store.queries import RunRow
from verl_spo.store.runs.status import Status
from verl_spo_dashboard import exports
from verl_spo_dashboard.chart import Chart
from verl_spo_dashboard.charts import PICKED
from verl_spo_dashboard.wording import duration

LIVE_S = 2.0
"""Seconds between two looks at a run that trains."""

SLOW_S = 10.0
"""Seconds between two looks at what may come back to life."""

BadgeColor = Literal["blue", "green", "red", "orange", "violet", "gray"]
STATUSES: dict[Status, tuple[str, BadgeColor, str]] = {
    Status.STARTING: ("#0072b2", "blue", ":material/rocket_launch:"),
    Status.RUNNING: ("#0072b2", "blue", ":material/play_circle:"),
    Status.FINISHED: ("#2f7d5b", "green", ":material/check_circle:"),
    Status.FAILED: ("#b3372b", "red", ":material/error:"),
    Status.LOST: ("#96690a", "orange", ":material/signal_disconnected:"),
    Status.STOPPED: ("#69727d", "gray", ":material/stop_circle:"),
    Status.IMPORTED: ("#6b4fa0", "violet", ":material/download:"),
    Status.IMPORTING: ("#6b4fa0", "violet", ":material/downloading:"),
    Status.DELETING: ("#69727d", "gray", ":material/delete:"),
}
"""A run's states: colour in tables, colour and symbol of the badge."""


@contextmanager
def errors_shown() -> Iterator[list[SPOError]]:
    """Show what verl-spo raises on purpose as a message in the page; afterwards the list has it."""
    errors: list[SPOError] = []
    try:
        yield errors
    except SPOError as error:
        errors.append(error)
        st.error("This cannot be shown.", icon=":material/database_off:")
        st.code(str(error), language=None, wrap_lines=True)


def chart(drawn: Chart) -> list[dict[str, Any]]:
    """Show a chart; returns what a click has picked in it."""
    if not drawn.clicks:
        st.vega_lite_chart(drawn.spec, key=drawn.key)
        return []
    state: Any = st.vega_lite_chart(drawn.spec, key=drawn.key, on_select="rerun", selection_mode=PICKED)
    return list(state.selection[PICKED])


def downloads(drawn: Sequence[Chart], several: bool) -> None:
    """The numbers of any chart of a page, as CSV; of a page of `several` runs, those of one run with its name."""
    named = {f"{chart.title} · {chart.run}" if several and chart.run else chart.title: chart for chart in drawn}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Numbers of", list(named), key="csv", width=320)
        st.download_button(
            "Download CSV", lambda: exports.csv(named[name]), f"{name.replace('/', '_')}.csv", "text/csv",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def no_runs() -> None:
    """What a database without any run looks like: the two commands that bring one."""
    st.info("No runs yet: start one, and it appears here by itself.", icon=":material/rocket_launch:")
    first_commands()


def first_commands() -> None:
    """The two commands by which a new user gets a run."""
    st.caption("The demo trains a tiny model on integer arithmetic on two CPU cores, with pages of its own:")
    st.code("verl-spo demo", language="bash")
    st.caption("A recipe of your choice, from the folder in which this dashboard was started:")
    st.code("verl-spo train cpu/arithmetic_spo", language="bash")


def pace(runs: Iterable[RunRow]) -> float | None:
    """Seconds between two looks at some runs; None if nothing about them will change."""
    statuses = {run.status for run in runs}
    if statuses & {Status.STARTING, Status.RUNNING}:
        return LIVE_S
    return SLOW_S if Status.LOST in statuses else None


def badge(run: RunRow) -> None:
    """A run's status as a coloured word."""
    _, color, icon = STATUSES[run.status]
    st.badge(run.status, color=color, icon=icon)


def notes(runs: Sequence[RunRow], now: float) -> None:
    """Say of each run what its status leaves open: what it does before a first step, that it is lost, why it failed."""
    for run in runs:
        if len(runs) > 1 and (run.phase or run.error or run.status == Status.LOST):
            st.text(run.name)
        if run.phase:
            st.text(f"Before the first step: {run.phase}")
        if run.status == Status.LOST:
            st.warning(
                f"No sign of life for {duration(now - run.heartbeat_at)}, though nothing says that this run has ended: "
                "its process is dead, or cannot reach the database.",
                icon=":material/signal_disconnected:",
            )
        if run.error:
            st.error("The last start failed.", icon=":material/error:")
            st.code(run.error, language=None, wrap_lines=True)
