"""Two runs or more side by side: in what their options and their software differ, and the way to their curves."""

from collections.abc import Sequence

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunDetail, RunRow
from verl_spo_dashboard import address, differences, frame, pages
from verl_spo_dashboard.wording import branched_from, counted, local_time

_SCROLLING_ROWS = 30
_SCROLLING_HEIGHT = 900


def _page() -> None:
    with frame.page("Compare"):
        if chosen := frame.choose(compares=True):
            if len(chosen.runs) < 2:
                st.info("Choose at least one other run to compare with.", icon=":material/compare_arrows:")
                return
            frame.live(chosen, _show)


def _show(database: Reader, runs: Sequence[RunRow]) -> None:
    _links()
    found = [detail for run in runs if (detail := queries.find_run(database, run.name)) is not None]
    _summary(found)
    options, versions = differences.options(found), differences.versions(found)
    _table(
        "Options", options, "option", "whose values differ, as the present attempts recorded them; secrets are hidden."
    )
    _table("Software and machine", versions, "difference", "between packages, commits and hosts.")


def _links() -> None:
    with st.container(horizontal=True, gap="small"):
        chosen = address.runs()
        st.page_link(pages.TRAINING, label="Their curves, overlaid", icon=":material/show_chart:", query_params=chosen)
        st.page_link(
            pages.DIFFICULTY,
            label="Their difficulty, side by side",
            icon=":material/fitness_center:",
            query_params=chosen,
        )


def _summary(found: Sequence[RunDetail]) -> None:
    runs = [detail.run for detail in found]
    table = {
        "": _headings(len(runs)),
        "Run": [run.name for run in runs],
        "Status": [str(run.status) for run in runs],
        "Step": [run.last_step for run in runs],
        "Started": [local_time(run.created_at) for run in runs],
        "Attempts": [len(detail.attempts) for detail in found],
        "Branched from": [branched_from(run) for run in runs],
    }
    layout = {
        "Step": st.column_config.NumberColumn(format="localized", help="The last training step that ended."),
        "Started": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
        "Attempts": st.column_config.NumberColumn(help="Starts, anew or from a checkpoint."),
    }
    st.dataframe(table, column_config=layout, hide_index=True, key="compared", alt="The compared runs")


def _table(title: str, rows: dict[str, list[str]], thing: str, what: str) -> None:
    """What differs: a column for each run, in the order of the table above."""
    st.subheader(title, anchor=False)
    if not rows:
        st.caption("Nothing differs.")
        return
    st.caption(f"{counted(len(rows), thing)} {what}")
    count = len(next(iter(rows.values())))
    table = {"name": list(rows), **{str(place): [values[place] for values in rows.values()] for place in range(count)}}
    layout = {
        "name": st.column_config.TextColumn("Name"),
        **{str(place): st.column_config.TextColumn(label) for place, label in enumerate(_headings(count))},
    }
    st.dataframe(
        table,
        column_config=layout,
        hide_index=True,
        height="content" if len(rows) <= _SCROLLING_ROWS else _SCROLLING_HEIGHT,
        key=f"differences-{title}",
        alt=title,
    )


def _headings(count: int) -> list[str]:
    """What stands above the runs' columns: their names are hostile text, and may be long."""
    return [f"Run {place + 1}" for place in range(count)]


_page()
