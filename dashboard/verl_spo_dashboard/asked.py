"""Which prompts a reader looks at, in which order, as the address has it: the table's pages, and one prompt's."""

from dataclasses import dataclass

import streamlit as st

from verl_spo.store.queries import Movement, PromptFilter
from verl_spo.store.queries.pool import Sort
from verl_spo_dashboard import address

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
"""What the pages call the store's orders: by what, and whether descending."""

OUTCOMES = {"Right (1)": (1.0, 1.0), "Wrong (0)": (0.0, 0.0), "In between": (1e-9, 1 - 1e-9)}
"""Ranges of the last reward, in words."""

UP, DOWN = MOVES = ("Up by", "Down by")
"""Which way v_hat has moved."""

MOVED_BY = 0.3
"""By how much, unless the reader says."""

WORDS, ORDER, SOURCE, OUTCOME = "q", "sort", "source", "outcome"
MOVED, BY, SINCE = "moved", "moved_by", "moved_since"
VALUE, N_EFF, VISITS = "value", "n_eff", "visits"
FILTERS = (
    SOURCE,
    OUTCOME,
    MOVED,
    *(f"{name}_{end}" for name in (VALUE, N_EFF, VISITS) for end in ("from", "to")),
)
"""The address's parameters that leave prompts out, but for the words."""

PARAMETERS = (WORDS, ORDER, *FILTERS, BY, SINCE)
"""The address's parameters that say which prompts, in which order."""


@dataclass(frozen=True)
class Asked:
    """Which prompts, in which of `ORDERS`."""

    where: PromptFilter
    order: str

    @property
    def sort(self) -> tuple[Sort, bool]:
        """By what, and whether descending."""
        return ORDERS[self.order]


def present() -> Asked:
    """What the address says; what it does not say, or says of another version, is as the table begins."""
    given = st.query_params
    order = given.get(ORDER, "")
    where = PromptFilter(
        words=given.get(WORDS, ""),
        source=given.get(SOURCE) or None,
        value=_range(VALUE),
        n_eff=_range(N_EFF),
        visits=_range(VISITS),
        last_outcome=OUTCOMES.get(given.get(OUTCOME, ""), (None, None)),
        moved=movement(given.get(MOVED), address.decimal(BY), address.number(SINCE)),
    )
    return Asked(where, order if order in ORDERS else next(iter(ORDERS)))


def movement(way: str | None, by: float | None, since: int | None) -> Movement | None:
    """Such as: down by 0.5 since step 100; None for any movement."""
    if way not in MOVES:
        return None
    by = MOVED_BY if by is None else by
    return Movement(since or 0, by, None) if way == UP else Movement(since or 0, None, -by)


def _range(name: str) -> tuple[float | None, float | None]:
    return address.decimal(f"{name}_from"), address.decimal(f"{name}_to")


def link(prompt_id: int) -> dict[str, str | list[str]]:
    """What the address of a prompt's page, or of the table with the prompt beside it, takes along."""
    kept: dict[str, str | list[str]] = {name: st.query_params[name] for name in PARAMETERS if name in st.query_params}
    return {address.RUN: st.query_params.get(address.RUN, ""), "prompt": str(prompt_id), **kept}
