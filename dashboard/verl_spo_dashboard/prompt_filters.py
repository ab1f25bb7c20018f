"""Which prompts the table shows. The address keeps every part of it."""

from collections.abc import Callable

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import Movement, PromptFilter, RunRow
from verl_spo_dashboard.asked import (
    BY,
    FILTERS,
    MOVED,
    MOVED_BY,
    MOVES,
    N_EFF,
    OUTCOME,
    OUTCOMES,
    SINCE,
    SOURCE,
    VALUE,
    VISITS,
    WORDS,
    movement,
)

ENDS = ("from", "to")


def search(changed: Callable[[], None]) -> str:
    """Words that the prompts have; `changed` is called when they have changed."""
    return st.text_input(
        "Search", key=WORDS, type="search", placeholder='Words, or "words in a row"', live=True,
        bind="query-params", on_change=changed,
    ) or ""  # fmt: skip


def controls(database: Reader, run: RunRow, words: str, changed: Callable[[], None]) -> PromptFilter:
    """What else the reader asks of a run's prompts that have some words."""
    sources = queries.data_sources(database, run.id)
    with st.expander("Filter", icon=":material/filter_list:", expanded=_any_chosen()):
        source = None
        with st.container(horizontal=True, vertical_alignment="bottom"):
            if len(sources) > 1:
                source = st.selectbox(
                    "Source", sources, index=None, key=SOURCE, placeholder="All", bind="query-params",
                    on_change=changed, width=200,
                )  # fmt: skip
            value = _range(
                "Value", VALUE, changed, "Estimated success rate (v̂); the upper end is in it only if it is 1.", most=1.0
            )
            n_eff = _range("Evidence", N_EFF, changed, "Behind the value, in observations; it fades with age.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            visits = _range("Visits", VISITS, changed, "Trajectories that the prompt has had.", whole=True)
            outcome = st.selectbox(
                "Last outcome", list(OUTCOMES), index=None, key=OUTCOME, placeholder="Any", bind="query-params",
                on_change=changed, width=150,
                help="The reward of the latest visit; of long runs, of those among the latest 200,000 trajectories.",
            )  # fmt: skip
            moved = _movement(changed)
    return PromptFilter(
        words=words,
        source=source,
        value=value,
        n_eff=n_eff,
        visits=visits,
        last_outcome=OUTCOMES[outcome] if outcome else (None, None),
        moved=moved,
    )


def _any_chosen() -> bool:
    return any(name in st.query_params for name in FILTERS)


def _range(
    label: str, name: str, changed: Callable[[], None], words: str, most: float | None = None, whole: bool = False
) -> tuple[float | None, float | None]:
    """Both ends of a range, either of which may be open."""

    def end(which: str) -> float | None:
        number = st.number_input(
            f"{label} {which}", min_value=0 if whole else 0.0, max_value=most, value=None,
            step=1 if whole else 0.05 if most else 1.0, key=f"{name}_{which}", bind="query-params", on_change=changed,
            placeholder="any", width=110, help=words if which == "from" else None,
        )  # fmt: skip
        return None if number is None else float(number)

    low, high = (end(which) for which in ENDS)
    return low, high


def _movement(changed: Callable[[], None]) -> Movement | None:
    """Such as: down by 0.5 since step 100."""
    way = st.selectbox(
        "Value moved", MOVES, index=None, key=MOVED, placeholder="Anyhow", bind="query-params", on_change=changed,
        width=130, help="The value now against that before the first visit since a step, such as: was 0.8, is 0.3.",
    )  # fmt: skip
    by = st.number_input(
        "at least", 0.0, 1.0, MOVED_BY, 0.1, key=BY, bind="query-params", on_change=changed, width=110,
        disabled=way is None,
    )  # fmt: skip
    since = st.number_input(
        "since step", 0, None, 0, 10, key=SINCE, bind="query-params", on_change=changed, width=120,
        disabled=way is None, help="Not before the latest 200,000 trajectories.",
    )  # fmt: skip
    return movement(way, by, int(since))
