"""Filters of rollouts that several pages have. The address keeps what is chosen."""

from collections.abc import Callable

import streamlit as st

from verl_spo_dashboard.one_rollout import FINISHES


def words(changed: Callable[[], None] | None = None) -> str:
    """Words that a rollout has; `changed` is called when they have changed."""
    return st.text_input(
        "Words", key="words", type="search", placeholder='Words, or "words in a row"', bind="query-params",
        on_change=changed, width=240, help="In the prompt or in the response, in any case.",
    ) or ""  # fmt: skip


def finish(changed: Callable[[], None] | None = None) -> str | None:
    """How a rollout ended, as the store has it; None for either way."""
    names = {shown: name for name, shown in FINISHES.items()}
    chosen = st.selectbox(
        "End", list(names), index=None, key="end", bind="query-params", placeholder="Any", on_change=changed,
        width=180, help="Cut off: the session filled data.max_response_length.",
    )  # fmt: skip
    return None if chosen is None else names[chosen]
