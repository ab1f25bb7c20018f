"""One prompt of a run: its value over time, what the tracker believes, all answers, and the prompt in other runs."""

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import ObservationRow, PromptFilter, PromptRow, RolloutFilter, RolloutRow, RunRow
from verl_spo_dashboard import (
    address,
    asked,
    charts,
    frame,
    one_prompt,
    one_rollout,
    pages,
    rollout_filters,
    text_differences,
)
from verl_spo_dashboard.charts import OPENED, Titles
from verl_spo_dashboard.one_rollout import key_of, named
from verl_spo_dashboard.wording import counted

VISITS = 500
ROLLOUTS = 200
"""Texts of the prompt that the page has, the latest ones."""

RUNS = 50
RIGHT = 0.5
"""From this reward on, an answer counts as right."""

_OUTCOMES: dict[str, tuple[float | None, float | None]] = {
    "All": (None, None),
    "Right": (RIGHT, None),
    "Wrong": (None, math.nextafter(RIGHT, 0)),
}
_ROLLOUT, _OTHER = "rollout", "other"
_GONE = "gone to another prompt"


def _page() -> None:
    with frame.page("Prompt"):
        chosen = frame.choose(changed=_forget)
        if chosen is None:
            return
        number = address.number("prompt")
        if number is None:
            st.info("Choose a prompt in the table of all.", icon=":material/quiz:")
            st.page_link(pages.PROMPTS, label="Prompts", icon=":material/quiz:", query_params=address.runs())
            return
        frame.live(chosen, lambda database, runs: _draw(database, runs[0], number))


def _forget() -> None:
    """Another run has other rollouts."""
    for name in (_ROLLOUT, _OTHER):
        st.query_params.pop(name, None)


def _go(prompt_id: int | None, run: str | None = None) -> None:
    """Show another prompt, or the same one of another run. The whole page has to hear of it, not only what is live."""
    st.query_params["prompt"] = str(prompt_id)
    if run is not None:
        st.query_params[address.RUN] = run
    _forget()
    st.session_state[_GONE] = True


def _draw(database: Reader, run: RunRow, prompt_id: int) -> None:
    if st.session_state.pop(_GONE, False):
        st.rerun()
    prompt = queries.prompt(database, run.id, prompt_id)
    _neighbours(database, run, prompt_id)
    visits = queries.prompt_history(database, run.id, prompt_id, limit=VISITS)
    left, right = st.columns([3, 2], gap="large")
    with left:
        one_prompt.head(prompt)
        _history(visits)
    with right:
        _belief(prompt)
        _in_runs(database, run, prompt_id)
    _answers(database, run, prompt_id, visits)


def _neighbours(database: Reader, run: RunRow, prompt_id: int) -> None:
    """The prompts before and after this one, in the order and under the filter of the table that led here."""
    view = asked.present()
    sort, descending = view.sort
    before, after = queries.prompt_neighbours(database, run.id, prompt_id, sort, descending, view.where)
    labels = (
        ("Previous prompt", ":material/chevron_left:", before),
        ("Next prompt", ":material/chevron_right:", after),
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for label, icon, number in labels:
            st.button(label, icon=icon, disabled=number is None, on_click=_go, args=(number,))
        words = "" if view.where == PromptFilter() else " of the filtered table"
        st.caption(f"In the order “{view.order}”{words}.")
        st.page_link(
            pages.PROMPTS, label="Back to the table", icon=":material/quiz:", query_params=asked.link(prompt_id)
        )


def _history(visits: Sequence[ObservationRow]) -> None:
    if not visits:
        st.info("Not visited in this run's history: its value is where it began.", icon=":material/hourglass_top:")
        return
    open_keys = [key for name in (_ROLLOUT, _OTHER) if (key := key_of(st.query_params.get(name)))]
    subtitle = "after each visit, with its 90 % interval; each mark is an outcome: click it"
    titles = Titles("Estimated success rate (v̂)", subtitle, "v̂, reward")
    st.vega_lite_chart(
        charts.prompt_history(visits, titles, opens=True, chosen=open_keys),
        key="outcomes", on_select=_open_outcome, selection_mode=OPENED,
    )  # fmt: skip
    counting = [row for row in visits if not row.superseded]
    if any(row.rho is not None for row in counting):
        titles = Titles("Retention (ρ)", "share of the earlier evidence that the visit left, in [0, 1]", "ρ")
        st.vega_lite_chart(charts.prompt_numbers(visits, "rho", titles), key="rho")
    if any(row.policy_change is not None for row in counting):
        titles = Titles(
            "Policy change (D)", "on the prompt's previous response, since its last visit", "nats per token"
        )
        st.vega_lite_chart(charts.prompt_numbers(visits, "policy_change", titles), key="change")


def _open_outcome() -> None:
    picked = st.session_state["outcomes"]["selection"].get(OPENED)
    if picked:
        mark = picked[0]
        st.query_params[_ROLLOUT] = named((int(mark["step"]), int(mark["attempt"]), int(mark["seq"])))
        st.query_params.pop(_OTHER, None)


def _belief(prompt: PromptRow) -> None:
    subtitle = (
        f"Beta({prompt.value * prompt.n_eff:.2f}, {(1 - prompt.value) * prompt.n_eff:.2f}); its 90 % interval is filled"
    )
    st.vega_lite_chart(charts.beta(prompt, Titles("What the tracker believes now", subtitle, "density")), key="beta")


def _in_runs(database: Reader, run: RunRow, prompt_id: int) -> None:
    """The prompt in all runs that have it; a click leads there."""
    rows = queries.prompt_in_runs(database, prompt_id, RUNS)
    if len(rows) < 2:
        return
    st.subheader("In all runs", anchor=False)
    config = st.column_config
    key = f"runs-{prompt_id}-{hash(tuple(row.run_id for row in rows))}"

    def choose() -> None:
        for row, _ in st.session_state[key]["selection"]["cells"]:
            _go(prompt_id, rows[row].run)

    st.dataframe(
        {
            "run": [row.run for row in rows],
            "value": [row.value for row in rows],
            "interval": [one_prompt.interval(row) for row in rows],
            "visits": [row.visits for row in rows],
        },
        key=key,
        column_config={
            "run": config.TextColumn("Run", width=150),
            "value": config.ProgressColumn(
                "Value", min_value=0, max_value=1, format="%.2f", width=90, help="Estimated success rate (v̂)."
            ),
            "interval": config.TextColumn("90 % range", width=90, help="Interval of the success rate."),
            "visits": config.NumberColumn("Visits", width=55),
        },
        hide_index=True,
        on_select=choose,
        selection_mode=["single-cell"],
        alt="The same prompt in all runs",
    )  # fmt: skip


def _answers(database: Reader, run: RunRow, prompt_id: int, visits: Sequence[ObservationRow]) -> None:
    st.subheader("Answers", anchor=False)
    left, right = st.columns([5, 4], gap="large")
    with left:
        rows = queries.prompt_rollouts(database, run.id, prompt_id, ROLLOUTS, _filter())
        _table(rows)
    with right:
        _opened(database, run, visits)
    _compared(database, run)


def _filter() -> RolloutFilter:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        outcome = st.segmented_control(
            "Outcome", list(_OUTCOMES), default="All", required=True, key="answer_outcome", bind="query-params",
            help=f"Right: a reward of {RIGHT:g} or more.",
        )  # fmt: skip
        finish = rollout_filters.finish()
        words = rollout_filters.words()
    return RolloutFilter(reward=_OUTCOMES[outcome or "All"], finish=finish, words=words)


def _table(rows: Sequence[RolloutRow]) -> None:
    if not rows:
        st.text("No such text was kept: a run keeps the share spo.store.rollout_fraction of its texts.")
        return
    most = f"The latest {ROLLOUTS:,} kept texts" if len(rows) == ROLLOUTS else counted(len(rows), "kept text")
    st.text(f"{most}, latest first; tick two to compare them")
    keys = [named(row.observation.key) for row in rows]
    key = f"answers-{hash(tuple(keys))}"
    opened = [keys.index(given) for name in (_ROLLOUT, _OTHER) if (given := st.query_params.get(name)) in keys]
    st.dataframe(
        one_rollout.columns(rows),
        key=key,
        column_config=one_rollout.layout(),
        hide_index=True,
        height=min(36 * (len(rows) + 1) + 4, 430),
        on_select=lambda: _choose(key, keys),
        selection_mode=["multi-row", "single-cell"],
        selection_default={"selection": {"rows": opened, "columns": [], "cells": []}},
        alt="Answers",
    )


def _choose(key: str, keys: Sequence[str]) -> None:
    """A click on a row opens it alone; of those that are ticked, the last two are compared."""
    selection: Any = st.session_state[key]["selection"]
    rows = [row for row, _ in selection["cells"]] or selection["rows"][-2:]
    _forget()
    for name, row in zip((_ROLLOUT, _OTHER), rows, strict=False):
        st.query_params[name] = keys[row]
    st.session_state[key] = {"selection": {"rows": rows, "columns": [], "cells": []}}


def _opened(database: Reader, run: RunRow, visits: Sequence[ObservationRow]) -> None:
    key = key_of(st.query_params.get(_ROLLOUT))
    if key is None:
        st.info("Click an outcome in the chart, or a row, to read it.", icon=":material/ads_click:")
        return
    found = queries.rollout(database, run.id, *key)
    if found is not None:
        one_rollout.show(found, links=False)
        return
    seen = next((visit for visit in visits if visit.key == key), None)
    if seen is not None:
        one_rollout.figures(seen)
    st.info("No text of this one is kept.", icon=":material/search_off:")


def _compared(database: Reader, run: RunRow) -> None:
    keys = [key_of(st.query_params.get(name)) for name in (_ROLLOUT, _OTHER)]
    left, right = (queries.rollout(database, run.id, *key) if key else None for key in keys)
    if left is None or right is None:
        return
    st.subheader("Differences", anchor=False)
    text_differences.show(left.response or "", right.response or "", (_title(left), _title(right)))
    st.caption("Marked: words that the other one does not have there.")


def _title(row: RolloutRow) -> str:
    seen = row.observation
    return f"Step {seen.step:,} · reward {seen.reward:g} · {counted(seen.response_length, 'token')}"


_page()
