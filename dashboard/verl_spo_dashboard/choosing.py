"""Tables of which a reader chooses one row, by a click anywhere on it or by its tick. The address keeps the choice."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st


def table(columns: Mapping[str, Sequence[Any]], parameter: str, values: Sequence[str], **options: Any) -> None:
    """Show a table whose chosen row gives the address a parameter.

    A selection is by row. Other rows are another table, which begins with what the address says.

    Args:
        columns: As Streamlit shows them.
        parameter: Of the address; it is taken out again when the row is clicked once more.
        values: Of the parameter, one for each row.
        options: Of `st.dataframe`.
    """
    key = f"{parameter}-of-{hash(tuple(values))}"
    chosen = st.query_params.get(parameter)
    st.dataframe(
        columns,
        key=key,
        hide_index=True,
        on_select=lambda: _put(key, parameter, values),
        selection_mode=["single-row", "single-cell"],
        selection_default=_only([values.index(chosen)] if chosen in values else []),
        **options,
    )


def _put(key: str, parameter: str, values: Sequence[str]) -> None:
    selection = st.session_state[key]["selection"]
    rows = [row for row, _ in selection["cells"]] or selection["rows"]
    if rows:
        st.query_params[parameter] = values[rows[0]]
        st.session_state[key] = _only(rows[:1])
    else:
        st.query_params.pop(parameter, None)


def _only(rows: list[int]) -> Any:
    """The state of a table with these rows ticked."""
    return {"selection": {"rows": rows, "columns": [], "cells": []}}
