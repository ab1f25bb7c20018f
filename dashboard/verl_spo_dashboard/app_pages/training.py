"""Curves of one run, or of several in the same charts, while they train and afterwards."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo_dashboard import charts, data, frame, panels, parts
from verl_spo_dashboard.panels import VALIDATION, Chart
from verl_spo_dashboard.series import last_number, smooth
from verl_spo_dashboard.wording import NOTHING, number, running_time

_COLUMNS = 3


def _page() -> None:
    with frame.page("Training"):
        if chosen := frame.choose(compares=True):
            weight = _smoothing()
            frame.live(chosen, lambda database, runs: _show(database, runs, weight))


def _smoothing() -> float:
    """The weight of the past in smoothed curves. The address keeps it."""
    chosen: float = st.slider(
        "Smoothing",
        0.0,
        0.98,
        0.6,
        0.02,
        key="smoothing",
        bind="query-params",
        help="Weight of the past, step by step.",
    )
    return chosen


def _show(database: Reader, runs: Sequence[RunRow], weight: float) -> None:
    curves, distributions = _read(database, runs)
    _summary(runs, curves)
    drawn = panels.of_curves(runs, curves, weight)
    if not drawn:
        st.info("No step has ended yet: the first one brings the curves.", icon=":material/hourglass_top:")
    _draw([*drawn, *panels.of_distributions(runs, distributions)])


def _read(database: Reader, runs: Sequence[RunRow]) -> tuple[data.Curves, data.Distributions]:
    held = data.held(database)
    ids = [run.id for run in runs]
    validation = [name for name in queries.metric_names(database, ids) if name.startswith(VALIDATION)]
    held.curves.update(database, ids, [*panels.metrics(), *validation])
    for run in runs:
        held.distributions.update(database, run)
    return held.curves, held.distributions


def _draw(drawn: Sequence[Chart]) -> None:
    """Charts in rows, each as wide as it asks to be."""
    rows: list[list[Chart]] = [[]]
    for chart in drawn:
        if sum(placed.width for placed in rows[-1]) + chart.width > _COLUMNS:
            rows.append([])
        rows[-1].append(chart)
    for row in rows:
        widths = [chart.width for chart in row]
        rest = _COLUMNS - sum(widths)
        for column, chart in zip(st.columns([*widths, *[1] * rest], gap="medium"), row, strict=False):
            column.vega_lite_chart(chart.spec, key=chart.key)


def _summary(runs: Sequence[RunRow], curves: data.Curves) -> None:
    """The present state in figures: of one run as a line, of several as a table."""
    figures = [_figures(run, curves) for run in runs]
    if len(runs) == 1:
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            for name, value in figures[0].items():
                st.metric(name, value, width="content")
        return
    table: dict[str, list[Any]] = {"Run": [run.name for run in runs], "Status": [[run.status] for run in runs]}
    table |= {name: [figure[name] for figure in figures] for name in figures[0]}
    states = parts.STATUSES
    status = st.column_config.MultiselectColumn(options=list(states), color=[state[0] for state in states.values()])
    st.dataframe(table, column_config={"Status": status}, hide_index=True, key="summary", alt="The chosen runs")
    st.vega_lite_chart(charts.legend([run.name for run in runs]), key="legend")


def _figures(run: RunRow, curves: data.Curves) -> dict[str, str]:
    _, rewards = curves.points(run.id, "spo/reward")
    _, seconds = curves.points(run.id, "timing_s/step")
    return {
        "Step": f"{run.last_step:,}",
        "Reward": number(last_number(smooth(rewards, 0.9))),
        "Validation": _validation(run, curves),
        "Pool value": number(last_number(curves.points(run.id, "spo/pool/value")[1])),
        "Seconds a step": number(last_number(smooth(seconds, 0.9)), 1),
        "Duration": running_time(run),
    }


def _validation(run: RunRow, curves: data.Curves) -> str:
    """The first validation metric, from its first number to its last."""
    for name in curves.names:
        values = curves.points(run.id, name)[1]
        if name.startswith(VALIDATION) and values.size:
            return number(values[0]) if values.size == 1 else f"{number(values[0])} → {number(values[-1])}"
    return NOTHING


_page()
