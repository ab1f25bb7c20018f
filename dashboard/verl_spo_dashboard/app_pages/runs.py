"""All runs: which there are, how far they are, and the way to their curves and prompts."""

import time
from collections.abc import Sequence
from typing import Any

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo_dashboard import address, data, pages, parts
from verl_spo_dashboard.series import last_number
from verl_spo_dashboard.wording import branched_from, clock_time, counted, local_time, running_time

EVERY_S = 5.0
MOST_RUNS = 200
_ROWS_WITHOUT_SCROLLING = 18
_SCROLLING_HEIGHT = 700


@st.fragment(run_every=EVERY_S)
def _page() -> None:
    with parts.errors_shown():
        database = data.reader()
        runs = queries.runs(database, limit=MOST_RUNS)
        if not runs:
            parts.no_runs()
            return
        actions = st.container(horizontal=True, vertical_alignment="center")
        ticked = _choose(database, runs)
        with actions:
            _actions(ticked)
        shown = f"the newest {MOST_RUNS} runs" if len(runs) == MOST_RUNS else counted(len(runs), "run")
        st.text(f"{database} · {shown} · updated {clock_time()}")


def _choose(database: Reader, runs: Sequence[RunRow]) -> list[str]:
    """Show the table; a click on a run opens it. Returns the names of those that are ticked."""
    before = st.session_state.get("ticked", [])
    # A selection is by row, and a new run moves the rows: another list is another table, ticked as the one before.
    state: Any = st.dataframe(
        _columns(database, runs),
        key=f"runs-{hash(tuple(run.id for run in runs))}",
        column_config=_layout(),
        hide_index=True,
        height="content" if len(runs) <= _ROWS_WITHOUT_SCROLLING else _SCROLLING_HEIGHT,
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        selection_default={
            "selection": {
                "rows": [row for row, run in enumerate(runs) if run.name in before],
                "columns": [],
                "cells": [],
            }
        },
        alt="Runs",
    )
    for row, _ in state.selection.cells:
        st.switch_page(pages.TRAINING, query_params={address.RUN: runs[row].name})
    ticked = [runs[row].name for row in state.selection.rows]
    st.session_state["ticked"] = ticked
    return ticked


def _actions(ticked: Sequence[str]) -> None:
    none = not ticked
    if st.button("Compare curves", icon=":material/show_chart:", type="primary", disabled=none):
        st.switch_page(pages.TRAINING, query_params={address.RUN: ticked[0], address.WITH: list(ticked[1:])})
    if st.button("Browse prompts", icon=":material/quiz:", disabled=len(ticked) != 1):
        st.switch_page(pages.PROMPTS, query_params={address.RUN: ticked[0]})
    st.caption("Click a run to open it, or tick several to compare them.")


def _columns(database: Reader, runs: Sequence[RunRow]) -> dict[str, list[Any]]:
    sketches = [data.reward_sketch(database, run) for run in runs]
    now = time.time()
    branched = {"parent": [branched_from(run) for run in runs]} if any(run.parent_name for run in runs) else {}
    return {
        "name": [run.name for run in runs],
        "status": [[run.status] for run in runs],
        "note": [run.phase or (run.error or "").partition("\n")[0] for run in runs],
        "step": [run.last_step for run in runs],
        "sketch": sketches,
        "reward": [last_number(sketch) for sketch in sketches],
        "prompts": [run.pool_size for run in runs],
        "started": [local_time(run.created_at) for run in runs],
        "duration": [running_time(run, now) for run in runs],
        "tags": [", ".join(run.tags) for run in runs],
        **branched,
    }


def _layout() -> dict[str, Any]:
    config = st.column_config
    states = parts.STATUSES
    return {
        "name": config.TextColumn("Run", width="medium"),
        "status": config.MultiselectColumn(
            "Status", options=list(states), color=[color for color, _, _ in states.values()], width="small"
        ),
        "note": config.TextColumn("Note", width="medium", help="What it does before its first step, or why it failed."),
        "step": config.NumberColumn("Step", format="localized", width="small"),
        "sketch": config.LineChartColumn("Reward", y_min=0, y_max=1, help="Mean reward of a step, over the whole run."),
        "reward": config.NumberColumn("Last reward", format="%.3f", width="small"),
        "prompts": config.NumberColumn("Prompts", format="localized", width="small", help="Size of the pool."),
        "started": config.DatetimeColumn("Started", format="D MMM YYYY, HH:mm"),
        "duration": config.TextColumn("Duration", width="small"),
        "tags": config.TextColumn("Tags"),
        "parent": config.TextColumn("Branched from"),
    }


st.title("Runs")
_page()
