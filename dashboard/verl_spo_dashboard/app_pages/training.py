"""Training curves of one run, or of several in the same charts, while they train and afterwards."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo_dashboard import address, charts, data, exports, frame, pages, panels, parts
from verl_spo_dashboard.charts import PICKED, Look
from verl_spo_dashboard.overview import VALIDATION
from verl_spo_dashboard.panels import AXES, Chart, Drawing
from verl_spo_dashboard.series import last_number, smooth
from verl_spo_dashboard.wording import NOTHING, number, running_time

MOST_METRICS = 12
"""That are shown beside the usual ones, at most."""

_COLUMNS = 3


def _page() -> None:
    with frame.page("Training"):
        if chosen := frame.choose(compares=True):
            names = queries.metric_names(chosen.database, [run.id for run in chosen.runs])
            look, more = _controls(names)
            frame.live(chosen, lambda database, runs: _show(database, runs, names, look, more))


def _controls(names: Sequence[str]) -> tuple[Look, list[str]]:
    """How curves are drawn, and which metrics beside the usual ones. The address keeps it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        weight = st.slider(
            "Smoothing", 0.0, 0.98, 0.6, 0.02, key="smoothing", bind="query-params", width=220,
            help="Weight of the past, step by step.",
        )  # fmt: skip
        axis = st.segmented_control(
            "Across", list(AXES), default="Step", required=True, key="x", bind="query-params",
            help="What the horizontal axis counts: training steps, trajectories seen, or hours, pauses included.",
        )  # fmt: skip
        logarithmic = st.toggle(
            "Log scale", key="log", bind="query-params", help="Of charts whose numbers are all above 0."
        )
        more = st.multiselect(
            "More metrics", names, key="metric",
            bind="query-params", max_selections=MOST_METRICS, placeholder="Search all that was logged",
        )  # fmt: skip
    return Look(weight, AXES[axis or "Step"], logarithmic, clicks=True), more


def _show(database: Reader, runs: Sequence[RunRow], offered: Sequence[str], look: Look, more: Sequence[str]) -> None:
    names = queries.metric_names(database, [run.id for run in runs])
    if names != list(offered):
        # The search is not part of what is live: it would travel again at every step.
        st.rerun()
    held = _read(database, runs, [*(name for name in names if name.startswith(VALIDATION)), *more])
    drawing = Drawing(runs, held.curves, held.places, look)
    _summary(runs, held.curves)
    drawn = panels.of_curves(drawing, more)
    if not drawn:
        st.info("No step has ended yet: the first one brings the curves.", icon=":material/hourglass_top:")
        return
    whose = "" if len(runs) == 1 else " of the first run"
    st.caption(f"Click a step in a chart to read what the model{whose} answered in it.")
    _draw([*drawn, *panels.of_time(drawing), *panels.of_distributions(runs, held.distributions)], runs[0])
    _download(runs, held.curves)


def _read(database: Reader, runs: Sequence[RunRow], more: Sequence[str]) -> data.Held:
    held = data.held(database)
    held.curves.update(database, [run.id for run in runs], [*panels.metrics(), *more])
    for run in runs:
        held.distributions.update(database, run)
        held.places.update(database, run)
    return held


def _draw(drawn: Sequence[Chart], run: RunRow) -> None:
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
            with column:
                _one(chart, run)


def _one(chart: Chart, run: RunRow) -> None:
    """A chart; a click on one of its steps leads to what the model answered then."""
    if not chart.clicks:
        st.vega_lite_chart(chart.spec, key=chart.key)
        return
    state: Any = st.vega_lite_chart(chart.spec, key=chart.key, on_select="rerun", selection_mode=PICKED)
    for picked in state.selection[PICKED]:
        st.switch_page(pages.ROLLOUTS, query_params={address.RUN: run.name, "step": str(int(picked["step"]))})


def _download(runs: Sequence[RunRow], curves: data.Curves) -> None:
    """Any curve as CSV, every step of it."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Numbers of", curves.names, key="csv", width=320)
        st.download_button(
            "Download CSV", lambda: exports.curve_csv(runs, curves, name), f"{name.replace('/', '_')}.csv", "text/csv",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def _summary(runs: Sequence[RunRow], curves: data.Curves) -> None:
    """The present state in figures: of one run as a line, of several as a table."""
    figures = [_figures(run, curves) for run in runs]
    if len(runs) == 1:
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            for name, value in figures[0].items():
                st.metric(name, value, width="content", help=_FIGURES[name])
        return
    table: dict[str, list[Any]] = {"Run": [run.name for run in runs], "Status": [[run.status] for run in runs]}
    table |= {name: [figure[name] for figure in figures] for name in figures[0]}
    states = parts.STATUSES
    status = st.column_config.MultiselectColumn(options=list(states), color=[state[0] for state in states.values()])
    columns = {name: st.column_config.TextColumn(help=words) for name, words in _FIGURES.items()}
    st.dataframe(
        table, column_config={"Status": status, **columns}, hide_index=True, key="summary", alt="The chosen runs"
    )
    st.vega_lite_chart(charts.legend([run.name for run in runs]), key="legend")


_FIGURES = {
    "Step": "The last training step that ended.",
    "Reward": "Mean of a step's trajectories, in [0, 1], smoothed over the latest ten or so.",
    "Validation": "The first of verl's val-core metrics: its first value and its last.",
    "Pool value": "Mean estimated success rate (v̂) of all prompts.",
    "Seconds a step": "Smoothed over the latest ten or so.",
    "Idle": "Share of the latest 20 steps' time that no phase accounts for.",
    "Duration": "From the run's first start to its end, or until now.",
}
"""What the figures mean, in their order."""


def _figures(run: RunRow, curves: data.Curves) -> dict[str, str]:
    _, rewards = curves.points(run.id, "spo/reward")
    _, seconds = curves.points(run.id, panels.WHOLE_STEP)
    return {
        "Step": f"{run.last_step:,}",
        "Reward": number(last_number(smooth(rewards, 0.9))),
        "Validation": _validation(run, curves),
        "Pool value": number(last_number(curves.points(run.id, "spo/pool/value")[1])),
        "Seconds a step": number(last_number(smooth(seconds, 0.9)), 1),
        "Idle": _idle(run, curves),
        "Duration": running_time(run),
    }


def _idle(run: RunRow, curves: data.Curves) -> str:
    """The share of the last steps' time that no phase accounts for."""
    times = panels.phases(curves, run)
    whole = sum(values[-20:].sum() for values in times.values())
    return f"{100 * times[panels.REST][-20:].sum() / whole:.0f} %" if whole else NOTHING


def _validation(run: RunRow, curves: data.Curves) -> str:
    """The first validation metric, from its first number to its last."""
    for name in curves.names:
        values = curves.points(run.id, name)[1]
        if name.startswith(VALIDATION) and values.size:
            return number(values[0]) if values.size == 1 else f"{number(values[0])} → {number(values[-1])}"
    return NOTHING


_page()
