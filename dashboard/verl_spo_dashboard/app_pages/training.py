"""Training curves of one run, or of several in the same charts, while they train and afterwards."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow
from verl_spo_dashboard import address, charts, data, frame, pages, panels, parts, phases
from verl_spo_dashboard.chart import Chart
from verl_spo_dashboard.charts import STEP, UNTIL, Look
from verl_spo_dashboard.overview import VALIDATION
from verl_spo_dashboard.panels import AXES, Drawing
from verl_spo_dashboard.series import last_number, smooth
from verl_spo_dashboard.wording import NOTHING, number, running_time

MOST_METRICS = 12
"""That are shown beside the usual ones, at most."""

_COLUMNS = 3
_LATEST = 20
"""Steps whose time the idle share is of."""


@dataclass(frozen=True)
class Wanted:
    """What the reader wants to see: which group of charts, which metrics beside them, and how they are drawn."""

    group: str
    more: Sequence[str]
    look: Look


def _page() -> None:
    with frame.page("Training"):
        if chosen := frame.choose(compares=True):
            ids = [run.id for run in chosen.runs]
            names, waiting = queries.metric_names(chosen.database, ids), _waiting(chosen.database, ids)
            wanted = _controls(names)
            frame.live(chosen, lambda database, runs: _show(database, runs, names, waiting, wanted))


def _controls(names: Sequence[str]) -> Wanted:
    """What the reader wants to see. The address keeps it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        group = st.segmented_control(
            "Charts", [*panels.GROUPS, panels.ALL], default=panels.LEARNING, required=True, key="charts",
            bind="query-params", help="Which are shown; fewer at a time are drawn faster.",
        )  # fmt: skip
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
    return Wanted(group or panels.LEARNING, more, Look(weight, AXES[axis or "Step"], logarithmic, clicks=True))


def _waiting(database: Reader, run_ids: Sequence[int]) -> set[int]:
    """Runs whose trainer has devices of its own, which wait for rollouts."""
    modes = queries.options(database, run_ids, "trainer.v1.trainer_mode")
    return {run_id for run_id, mode in modes.items() if mode.endswith("separate_async")}


def _show(database: Reader, runs: Sequence[RunRow], offered: Sequence[str], waiting: Set[int], wanted: Wanted) -> None:
    names = queries.metric_names(database, [run.id for run in runs])
    if names != list(offered):
        # The search is not part of what is live: it would travel again at every step.
        st.rerun()
    held = _read(database, runs, [*(name for name in names if name.startswith(VALIDATION)), *wanted.more])
    drawing = Drawing(runs, held.curves, held.places, wanted.look, waiting)
    _summary(drawing)
    drawn = panels.of_group(drawing, held.distributions, wanted.group, wanted.more)
    if not drawn:
        of_kind = "This kind of metric was not logged."
        missing = of_kind if names else "No step has ended yet: the first one brings the curves."
        st.info(missing, icon=":material/hourglass_top:")
        return
    whose = "" if len(runs) == 1 else " of the first run"
    st.caption(f"Click a step in a chart to read what the model{whose} answered in it.")
    _draw(drawn, runs[0])
    parts.downloads(drawn, len(runs) > 1)


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
    for picked in parts.chart(chart):
        first = int(picked[STEP.field])
        # Where points are left out, one stands for several steps.
        last = int(picked.get(UNTIL) or first)
        steps = {"from": str(first), "to": str(last)}
        st.switch_page(pages.ROLLOUTS, query_params={address.RUN: run.name, **steps})


def _summary(drawing: Drawing) -> None:
    """The present state in figures: of one run as a line, of several as a table."""
    runs = drawing.runs
    figures = [_figures(run, drawing) for run in runs]
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
    "Idle": f"Share of the latest {_LATEST} steps' time that no phase accounts for, or that a trainer with devices of "
    "its own waits for rollouts.",
    "Duration": "From the run's first start to its end, or until now.",
}
"""What the figures mean, in their order."""


def _figures(run: RunRow, drawing: Drawing) -> dict[str, str]:
    curves = drawing.curves
    _, rewards = curves.points(run.id, "spo/reward")
    _, seconds = curves.points(run.id, phases.WHOLE_STEP)
    _, times = phases.of(curves, run.id, run.id in drawing.waiting)
    idle = phases.idle_share(times, _LATEST)
    return {
        "Step": f"{run.last_step:,}",
        "Reward": number(last_number(smooth(rewards, 0.9))),
        "Validation": _validation(run, curves),
        "Pool value": number(last_number(curves.points(run.id, "spo/pool/value")[1])),
        "Seconds a step": number(last_number(smooth(seconds, 0.9)), 1),
        "Idle": NOTHING if idle is None else f"{100 * idle:.0f} %",
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
