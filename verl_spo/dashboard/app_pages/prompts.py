"""A run's prompts: the table of all, and one's history and answers beside it."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from verl_spo.dashboard import charts, data, parts
from verl_spo.dashboard.charts import Titles
from verl_spo.dashboard.wording import NOTHING, number
from verl_spo.store import Reader, queries
from verl_spo.store.queries import ObservationRow, PromptFilter, PromptRow, RolloutRow, RunRow
from verl_spo.store.queries.prompt_plan import Sort

PAGE_ROWS = 20
MOST_PROMPTS = 10_000
"""That can be paged through; of more, others come to the front by searching and sorting."""

ORDERS: dict[str, tuple[Sort, bool]] = {
    "Hardest first": ("value", False),
    "Easiest first": ("value", True),
    "Least certain first": ("uncertainty", True),
    "Most certain first": ("uncertainty", False),
    "Least evidence first": ("n_eff", False),
    "Most evidence first": ("n_eff", True),
    "Most visits first": ("visits", True),
    "Fewest visits first": ("visits", False),
    "Latest visit first": ("last_step", True),
    "Oldest visit first": ("last_step", False),
}
"""What the page calls the store's orders: by what, and whether descending."""

ROLLOUTS = 5
_HISTORY = 500
_TABLE_TEXT = 300
_SHOWN_TEXT = 50_000
_TALL_TEXT = 1_500


def _page() -> None:
    st.title("Prompts")
    with parts.errors_shown():
        database = data.reader()
        runs = queries.runs(database)
        if not runs:
            parts.no_runs()
            return
        run, where, order = _controls(database, runs)
        left, right = st.columns([5, 4], gap="large")
        with left:
            _table(database, run, where, order)
        with right:
            _prompt(database, run)


def _controls(database: Reader, runs: Sequence[RunRow]) -> tuple[RunRow, PromptFilter, str]:
    """Which prompts, in which order. The address keeps it all."""
    names = [run.name for run in runs]
    if "run" not in st.session_state and "run" not in st.query_params:
        st.session_state["run"] = names[0]
    sources = queries.data_sources(database)
    columns = st.columns([3, 3, 2, 2] if len(sources) > 1 else [3, 3, 2], vertical_alignment="bottom")
    name = columns[0].selectbox("Run", names, key="run", bind="query-params", on_change=_first_page)
    words = columns[1].text_input(
        "Search", key="q", type="search", placeholder='Words, or "words in a row"', live=True,
        bind="query-params", on_change=_first_page,
    )  # fmt: skip
    order = columns[2].selectbox("Order", list(ORDERS), key="sort", bind="query-params", on_change=_first_page)
    source = None
    if len(sources) > 1:
        source = columns[3].selectbox(
            "Source", sources, index=None, key="source", placeholder="All", bind="query-params", on_change=_first_page
        )
    return data.by_names(runs, [name])[0], PromptFilter(words=words or "", source=source), order


def _first_page() -> None:
    st.session_state["page"] = 1


def _table(database: Reader, run: RunRow, where: PromptFilter, order: str) -> None:
    count = queries.count_prompts(database, run.id, where, MOST_PROMPTS)
    if not count:
        st.info("No prompt has all of these words.", icon=":material/search_off:")
        return
    pages = -(-count // PAGE_ROWS)
    slot = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.text(f"The first {count:,}; search for others" if count == MOST_PROMPTS else f"{count:,} prompts")
        page = st.pagination(pages, key="page", bind="query-params")
    with slot:
        _rows(_read_page(database, run, where, order, page))


def _rows(rows: Sequence[PromptRow]) -> None:
    """The table; a click on a row, or its tick, chooses the prompt."""
    ids = [row.prompt_id for row in rows]
    key = f"prompts-{hash(tuple(ids))}"
    chosen = _chosen()
    before = [ids.index(chosen)] if chosen in ids else []
    st.dataframe(
        _columns(rows),
        key=key,
        column_config=_layout(),
        hide_index=True,
        height="content",
        on_select=lambda: _choose(key, ids),
        selection_mode=["single-row", "single-cell"],
        selection_default={"selection": {"rows": before, "columns": [], "cells": []}},
        alt="Prompts",
    )


def _choose(key: str, ids: Sequence[int]) -> None:
    selection = st.session_state[key]["selection"]
    rows = [row for row, _ in selection["cells"]] or selection["rows"]
    if rows:
        st.query_params["prompt"] = str(ids[rows[0]])
        st.session_state[key] = {"selection": {"rows": rows[:1], "columns": [], "cells": []}}
    else:
        st.query_params.pop("prompt", None)


def _chosen() -> int | None:
    number = st.query_params.get("prompt", "")
    return int(number) if number.isdecimal() and len(number) < 19 else None


def _read_page(database: Reader, run: RunRow, where: PromptFilter, order: str, page: int) -> Sequence[PromptRow]:
    """A page. The store reads on from a key: those of the pages seen are kept, others are walked to."""
    view = (run.id, run.last_step, where, order)
    kept = st.session_state.get("pages")
    keys = kept[1] if kept and kept[0] == view else {1: None}
    st.session_state["pages"] = (view, keys)
    sort, descending = ORDERS[order]
    known = max(number for number in keys if number <= page)
    if known < page:
        skipped = (page - known) * PAGE_ROWS
        keys[page] = queries.prompts(database, run.id, sort, descending, where, keys[known], skipped).next
    found = queries.prompts(database, run.id, sort, descending, where, keys[page], PAGE_ROWS)
    if found.next:
        keys[page + 1] = found.next
    return found.rows


def _columns(rows: Sequence[PromptRow]) -> dict[str, list[Any]]:
    return {
        "text": [" ".join(row.text[:_TABLE_TEXT].split()) for row in rows],
        "value": [row.value for row in rows],
        "interval": [_interval(row) for row in rows],
        "n_eff": [row.n_eff for row in rows],
        "visits": [row.visits for row in rows],
        "last": [row.last_step or None for row in rows],
        "source": [row.data_source for row in rows],
    }


def _layout() -> dict[str, Any]:
    config = st.column_config
    return {
        "text": config.TextColumn("Prompt", width="medium"),
        "value": config.ProgressColumn("v̂", min_value=0, max_value=1, format="%.2f", width="small"),
        "interval": config.TextColumn("90 %", width="small", help="Interval of the success rate."),
        "n_eff": config.NumberColumn("N_eff", format="%.1f", width="small", help="Evidence, in observations."),
        "visits": config.NumberColumn("Visits", width="small"),
        "last": config.NumberColumn("Last step", width="small"),
        "source": config.TextColumn("Source", width="small"),
    }  # fmt: skip


def _interval(row: PromptRow) -> str:
    return f"{row.low:.2f} – {row.high:.2f}"


def _prompt(database: Reader, run: RunRow) -> None:
    """The chosen prompt: what it asks, how its value moved, what the model answered."""
    number_ = _chosen()
    if number_ is None:
        st.info("Click a prompt to see its history and its answers.", icon=":material/ads_click:")
        return
    with parts.errors_shown():
        row = queries.prompt(database, run.id, number_)
        st.code(_cut(row.text), language=None, wrap_lines=True, height=_height(row.text))
        st.text(f"Right answer: {_cut(row.ground_truth)}")
        with st.container(horizontal=True, gap="large"):
            st.metric("v̂", number(row.value), width="content")
            st.metric("90 % interval", _interval(row), width="content")
            st.metric("N_eff", number(row.n_eff, 1), width="content")
            st.metric("Visits", f"{row.visits:,}", width="content")
            st.metric("Last step", row.last_step or NOTHING, width="content")
        _history(queries.prompt_history(database, run.id, number_, limit=_HISTORY))
        _answers(queries.prompt_rollouts(database, run.id, number_, limit=ROLLOUTS))


def _history(history: Sequence[ObservationRow]) -> None:
    if not history:
        st.info("Not visited yet: its value is where it began.", icon=":material/hourglass_top:")
        return
    titles = Titles("History", "v̂ after each visit with its 90 % interval; circles are rewards", "v̂, reward")
    st.vega_lite_chart(charts.prompt_history(history, titles), key="history")


def _answers(rollouts: Sequence[RolloutRow]) -> None:
    st.subheader("Answers", anchor=False)
    if not rollouts:
        st.text("None was kept: a run keeps the share spo.store.rollout_fraction of its texts.")
    for rollout in rollouts:
        seen = rollout.observation
        superseded = " · superseded by a resume" if seen.superseded else ""
        st.text(f"Step {seen.step} · reward {seen.reward:g} · {seen.response_length} tokens{superseded}")
        response = _cut(rollout.response or "")
        st.code(response, language=None, wrap_lines=True, height=_height(response))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}\n… {len(text) - _SHOWN_TEXT:,} more characters"


def _height(text: str) -> Any:
    return 320 if len(text) > _TALL_TEXT or text.count("\n") > 15 else "content"


_page()
