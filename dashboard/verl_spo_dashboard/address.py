"""What the address of a page keeps: the whole state of a view, so that a link shows another reader the same."""

import re

import streamlit as st

RUN = "run"
"""The run that a page is about, by name."""

WITH = "with"
"""Runs that it is compared with, by name."""


def runs() -> dict[str, str | list[str]]:
    """The chosen runs, as parameters of another page's address."""
    chosen: dict[str, str | list[str]] = {}
    if RUN in st.query_params:
        chosen[RUN] = st.query_params[RUN]
    if others := st.query_params.get_all(WITH):
        chosen[WITH] = others
    return chosen


def number(parameter: str) -> int | None:
    """A whole number that the address has; None if it has none that the store could hold."""
    text = st.query_params.get(parameter, "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


def decimal(parameter: str) -> float | None:
    """A number that the address has, such as `0.25`; None if it has none."""
    text = st.query_params.get(parameter, "")
    return float(text) if re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", text) else None
