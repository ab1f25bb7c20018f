"""A run's prompts: the table of all, and one's history and answers beside it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import PromptFilter, PromptRow, RunRow, SelectedPrompt, Sparkline
from verl_spo_dashboard import address, choosing, exports, frame, prompt_filters, texts
from verl_spo_dashboard.asked import ORDER, ORDERS
from verl_spo_dashboard.one_prompt import interval, show
from verl_spo_dashboard.wording import counted

PAGE_ROWS = 20
MOST_PROMPTS = 10_000
"""That can be paged through; of more, others come to the front by searching and sorting."""

SPARK_VISITS = 20
_TABLE_TEXT = 300
_PARQUET = "application/vnd.apache.parquet"


def _page() -> None:
    with frame.page("Prompts"):
        chosen = frame.choose(changed=_first_page)
        if chosen is None:
            return
        if not chosen.run.pool_size:
            frame.live(chosen, _until_registered)
            return
        wide, narrow = st.columns([3, 2])
        with wide:
            words = prompt_filters.search(_first_page)
        order = narrow.selectbox("Order", list(ORDERS), key=ORDER, bind="query-params", on_change=_first_page)
        where = prompt_filters.controls(chosen.database, chosen.run, words, _first_page)
        frame.live(chosen, lambda database, runs: _draw(database, runs[0], where, order))


def _until_registered(_: Reader, runs: Sequence[RunRow]) -> None:
    """A run that starts has no prompts yet."""
    if runs[0].pool_size:
        st.rerun()


def _draw(database: Reader, run: RunRow, where: PromptFilter, order: str) -> None:
    left, right = st.columns([5, 4], gap="large")
    with left:
        _table(database, run, where, order)
    with right:
        show(database, run, address.number("prompt"))


def _first_page() -> None:
    st.session_state["page"] = 1


def _table(database: Reader, run: RunRow, where: PromptFilter, order: str) -> None:
    count = queries.count_prompts(database, run.id, where)
    if not count:
        st.info("No prompt is like that: search for fewer words, or filter less.", icon=":material/search_off:")
        return
    shown = min(count, MOST_PROMPTS)
    slot = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.text(counted(count, "prompt") if shown == count else f"The first {shown:,} of {count:,}; search for others")
        page = st.pagination(-(-shown // PAGE_ROWS), key="page", bind="query-params")
    with slot:
        sort, descending = ORDERS[order]
        start = (page - 1) * PAGE_ROWS
        rows = queries.prompts(database, run.id, sort, descending, where, start, PAGE_ROWS).rows
        _rows(rows, queries.sparklines(database, run.id, [row.prompt_id for row in rows], SPARK_VISITS))
    _downloads(database, run, where, order, count)


def _downloads(database: Reader, run: RunRow, where: PromptFilter, order: str, count: int) -> None:
    """The present selection as files, made when they are asked for."""
    sort, descending = ORDERS[order]

    def selected() -> Iterator[SelectedPrompt]:
        return queries.selected_prompts(database, run.id, where, sort, descending, exports.MOST_PROMPTS)

    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Table", lambda: exports.table(selected()), "prompts.parquet", _PARQUET, on_click="ignore",
            icon=":material/table_view:",
            help=f"These prompts with all that is known of them, as parquet; at most {exports.MOST_PROMPTS:,}.",
        )  # fmt: skip
        st.download_button(
            "Data for verl", lambda: exports.verl_data(selected()), "selection.parquet", _PARQUET, on_click="ignore",
            icon=":material/dataset:",
            help="These prompts as a data file to train or evaluate on (data.train_files=selection.parquet).",
        )  # fmt: skip
        some = f"Files have the first {exports.MOST_PROMPTS:,}. " if count > exports.MOST_PROMPTS else ""
        st.caption(f"{some}The address of this page is a link to this selection.")


def _rows(rows: Sequence[PromptRow], sparks: Mapping[int, Sparkline]) -> None:
    """The table; a chosen row shows the prompt beside it."""
    choosing.table(
        _columns(rows, sparks), "prompt", [str(row.prompt_id) for row in rows],
        column_config=_layout(), height="content", alt="Prompts",
    )  # fmt: skip


def _columns(rows: Sequence[PromptRow], sparks: Mapping[int, Sparkline]) -> dict[str, list[Any]]:
    sources = [row.data_source for row in rows]
    return {
        "text": [texts.line(row.text, _TABLE_TEXT) for row in rows],
        "value": [row.value for row in rows],
        "spark": [list(sparks[row.prompt_id].values) for row in rows],
        "trend": [sparks[row.prompt_id].trend for row in rows],
        "interval": [interval(row) for row in rows],
        "n_eff": [row.n_eff for row in rows],
        "visits": [row.visits for row in rows],
        "last": [row.last_step or None for row in rows],
        **({"source": sources} if len(set(sources)) > 1 else {}),
    }


def _layout() -> dict[str, Any]:
    config = st.column_config
    return {
        "text": config.TextColumn("Prompt", width=180),
        "value": config.ProgressColumn(
            "Value", min_value=0, max_value=1, format="%.2f", width=95, help="Estimated success rate (v̂)."
        ),
        "spark": config.LineChartColumn(
            "Lately", y_min=0, y_max=1, width=80, help=f"v̂ after each of the last {SPARK_VISITS} visits."
        ),
        "trend": config.NumberColumn("Trend", format="%+.2f", width=55, help="From the first of these to the last."),
        "interval": config.TextColumn("90 % range", width=85, help="Interval of the success rate."),
        "n_eff": config.NumberColumn("Evidence", format="%.1f", width=65, help="In observations; it fades (N_eff)."),
        "visits": config.NumberColumn("Visits", width=50),
        "last": config.NumberColumn("Last step", width=65),
        "source": config.TextColumn("Source", width=80),
    }


_page()
