"""All runs: which there are, how far they are, whether they are all right, and the way to their pages."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo.store.runs.status import Status
from verl_spo_dashboard import address, alerts, data, pages, parts
from verl_spo_dashboard.overview import Overview
from verl_spo_dashboard.series import last_number
from verl_spo_dashboard.wording import NOTHING, branched_from, clock_time, counted, local_time, running_time

EVERY_S = 5.0
MOST_LISTED = 200
"""In the table, the newest ones."""

MOST_SEARCHED = 10_000
_ROWS_WITHOUT_SCROLLING = 18
_SCROLLING_HEIGHT = 700


@dataclass(frozen=True)
class Filter:
    """Which runs are shown: those whose name has all the words, of any of the statuses, with all the tags."""

    words: str = ""
    statuses: Sequence[str] = ()
    tags: Sequence[str] = ()

    def keeps(self, run: RunRow) -> bool:
        """Whether a run is shown."""
        return (
            all(word in run.name.lower() for word in self.words.lower().split())
            and (not self.statuses or run.status in self.statuses)
            and all(tag in run.tags for tag in self.tags)
        )


def _page() -> None:
    st.title("Runs")
    with parts.errors_shown() as errors:
        if awaited := data.awaited_file():
            st.text(f"There is no file {awaited} yet: the first run that writes to it makes it.")
            parts.first_commands()
            st.fragment(_begin_again, run_every=EVERY_S)(lambda: data.awaited_file() is None)
            return
        database = data.reader()
        runs = queries.runs(database, limit=MOST_SEARCHED)
        st.fragment(_live, run_every=EVERY_S)(_controls(runs) if runs else None)
    if errors:
        st.fragment(_begin_again, run_every=EVERY_S)(data.is_there)


def _controls(runs: Sequence[RunRow]) -> Filter:
    """What to show. The address keeps it."""
    tags = sorted({tag for run in runs for tag in run.tags})
    columns = st.columns([3, 2, 2] if tags else [3, 2], vertical_alignment="bottom")
    words = columns[0].text_input(
        "Search", key="q", type="search", placeholder="Words of the name", live=True, bind="query-params"
    )
    statuses = columns[1].multiselect(
        "Status", [str(status) for status in Status], key="status", placeholder="All", bind="query-params"
    )
    chosen = columns[2].multiselect("Tags", tags, key="tag", placeholder="All", bind="query-params") if tags else []
    return Filter(words or "", tuple(statuses), tuple(chosen))


def _begin_again(when: Callable[[], bool]) -> None:
    with parts.errors_shown():
        if when():
            st.rerun()


def _live(wanted: Filter | None) -> None:
    """All that changes by itself; `wanted` is None where there was no run to choose from yet."""
    with parts.errors_shown():
        database = data.reader()
        # A search is of all runs.
        runs = queries.runs(database, limit=MOST_LISTED if wanted in (None, Filter()) else MOST_SEARCHED)
        if not runs:
            parts.no_runs()
            return
        if wanted is None:
            st.rerun()
        kept = [run for run in runs if wanted.keeps(run)]
        shown = kept[:MOST_LISTED]
        if not shown:
            st.info("No run is like that.", icon=":material/search_off:")
            return
        for run in shown:
            _starting(run)
        actions = st.container(horizontal=True, vertical_alignment="center")
        ticked = _choose(database, shown)
        with actions:
            _actions(ticked)
        newest = "the newest " if len(shown) == MOST_LISTED else ""
        like = "" if wanted == Filter() else f" of {len(kept):,} like that"
        st.text(f"{database} · {newest}{counted(len(shown), 'run')}{like} · updated {clock_time()}")


def _starting(run: RunRow) -> None:
    """What a run does that has no step yet: until then there is nothing else to look at."""
    if run.phase and run.last_step == run.begins_after:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(width="content"):
                parts.badge(run)
            st.text(f"{run.name}: {run.phase}")


def _choose(database: Reader, runs: Sequence[RunRow]) -> list[str]:
    """Show the table; a click on a run opens it. Returns the names of those that are ticked."""
    before = st.session_state.get("ticked", [])
    # A selection is by row, and a new run moves the rows: another list is another table, ticked as the one before.
    state: Any = st.dataframe(
        _columns(database, data.held(database).overviews.of(database, runs)),
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
        placeholder=NOTHING,
        alt="Runs",
    )
    for row, _ in state.selection.cells:
        st.switch_page(pages.TRAINING, query_params={address.RUN: runs[row].name})
    ticked = [runs[row].name for row in state.selection.rows]
    st.session_state["ticked"] = ticked
    return ticked


def _actions(ticked: Sequence[str]) -> None:
    chosen = {address.RUN: ticked[0], address.WITH: list(ticked[1:])} if ticked else {}
    if st.button("Compare curves", icon=":material/show_chart:", type="primary", disabled=not ticked):
        st.switch_page(pages.TRAINING, query_params=chosen)
    if st.button("Browse prompts", icon=":material/quiz:", disabled=len(ticked) != 1):
        st.switch_page(pages.PROMPTS, query_params=chosen)
    if st.button("Compare options", icon=":material/compare_arrows:", disabled=len(ticked) < 2):
        st.switch_page(pages.COMPARE, query_params=chosen)
    st.caption("Click a run to open it, or tick several to compare them.")


def _columns(database: Reader, found: Sequence[Overview]) -> dict[str, list[Any]]:
    """The table; columns in which no run has anything are left out."""
    now, runs = time.time(), [each.run for each in found]
    optional: dict[str, list[Any]] = {
        "note": [_note(database, run) for run in runs],
        "progress": [each.share for each in found],
        "speed": [each.steps_per_hour for each in found],
        "left": [each.left for each in found],
        "best": [each.benchmarks for each in found],
        "tags": [", ".join(run.tags) for run in runs],
        "parent": [branched_from(run) for run in runs],
    }
    columns: dict[str, list[Any]] = {
        "name": [run.name for run in runs],
        "status": [[run.status] for run in runs],
        "step": [run.last_step for run in runs],
        "sketch": [each.rewards for each in found],
        "reward": [last_number(each.rewards) for each in found],
        "duration": [running_time(run, now) for run in runs],
        "started": [local_time(run.created_at) for run in runs],
        "prompts": [run.pool_size for run in runs],
        **{name: values for name, values in optional.items() if any(value not in ("", None) for value in values)},
    }
    return {name: columns[name] for name in _layout() if name in columns}


def _note(database: Reader, run: RunRow) -> str:
    """What is wrong with a run, or what it does before its first step.

    Of those that have ended long ago nobody waits for alerts: their own pages have them.
    """
    if run.phase or run.error:
        return run.phase or (run.error or "").partition("\n")[0]
    return alerts.words(alerts.of(database, run)) if run.ended_at is None else ""


def _layout() -> dict[str, Any]:
    """All columns, in their order."""
    config = st.column_config
    states = parts.STATUSES
    return {
        "name": config.TextColumn("Run", width=165, pinned=True),
        "status": config.MultiselectColumn(
            "Status", options=list(states), color=[color for color, _, _ in states.values()], width=90
        ),
        "note": config.TextColumn(
            "Alert or note",
            width=215,
            help="Alerts of a run that goes on; what a run does before its first step; why one failed.",
        ),
        "step": config.NumberColumn("Step", format="localized", width=60, help="The last training step that ended."),
        "progress": config.ProgressColumn(
            "Done", min_value=0, max_value=1, format="percent", width=85, help="Of trainer.total_training_steps."
        ),
        "speed": config.NumberColumn("Steps/h", format="%.0f", width=65, help="Training steps per hour, at present."),
        "left": config.TextColumn("Left", width=80, help="Time until the last step, at the present speed."),
        "sketch": config.LineChartColumn(
            "Reward", y_min=0, y_max=1, width=110, help="Mean reward of a step, in [0, 1], over the whole run."
        ),
        "reward": config.NumberColumn("Last", format="%.3f", width=55, help="Mean reward of the last step, in [0, 1]."),
        "best": config.TextColumn(
            "Best benchmark",
            width=250,
            help="Two scores at most: the best avg@k of verl-spo evaluate, then the best of verl's val-core.",
        ),
        "duration": config.TextColumn("Duration", width=90, help="From the start to the end, or until now."),
        "tags": config.TextColumn("Tags", width=90),
        "parent": config.TextColumn(
            "Branched from", width=130, help="The run and step whose checkpoint it began from."
        ),
        "started": config.DatetimeColumn("Started", format="D MMM YYYY, HH:mm", width=125),
        "prompts": config.NumberColumn("Prompts", format="localized", width=70, help="Size of the pool."),
    }


_page()
