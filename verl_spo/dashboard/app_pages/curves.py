"""Curves of one run, or of several in the same charts, while they train and afterwards."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from verl_spo.dashboard import charts, data, parts
from verl_spo.dashboard.charts import Line, Titles
from verl_spo.dashboard.series import last_number, smooth
from verl_spo.dashboard.wording import NOTHING, clock_time, number, running_time
from verl_spo.store import Reader, queries
from verl_spo.store.queries import RunRow

MOST_RUNS = 8
"""As many as there are colours."""

_COLUMNS = 3
_VALIDATION = "val-core/"


@dataclass(frozen=True)
class Panel:
    """A chart: its words, and the metrics in it. Several runs share the first metric alone, unless `all_parts`."""

    titles: Titles
    metrics: dict[str, str]
    smoothed: bool = True
    all_parts: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart in its place: Streamlit's key for it, what it is, and how many columns it takes."""

    key: str
    spec: charts.Spec
    width: int = 1


PANELS = (
    Panel(Titles("Reward", "Mean of the step's trajectories", "reward"), {"spo/reward": ""}),
    Panel(
        Titles("Value", "Mean v̂: over the pool, and of the prompts drawn", "v̂"),
        {"spo/pool/value": "pool", "spo/p_hats": "drawn"},
    ),
    Panel(Titles("Entropy", "Of the policy (actor/entropy)", "nats a token"), {"actor/entropy": ""}),
    Panel(Titles("KL", "From the policy that answered (actor/ppo_kl)", "nats a token"), {"actor/ppo_kl": ""}),
    Panel(
        Titles("Policy change", "Since a prompt's last visit (spo/D), or by the update (spo/drift)", "nats a token"),
        {"spo/D": "since last visit", "spo/drift": "by the update"},
    ),
    Panel(
        Titles("Time", "Of a step and its parts (timing_s)", "seconds"),
        {
            f"timing_s/{part}": part.replace("_", " ")
            for part in (
                "step", "gen", "update_actor", "old_log_prob", "update_weights", "reward", "testing", "save_checkpoint"
            )
        },
    ),
)  # fmt: skip


def _page() -> None:
    st.title("Curves")
    with parts.errors_shown():
        runs = queries.runs(data.reader())
        if not runs:
            parts.no_runs()
            return
        chosen, weight = _controls(runs)
        if not chosen:
            st.info("Choose a run above.", icon=":material/show_chart:")
            return
        pace = parts.pace(chosen)
        st.fragment(_live, run_every=pace)([run.id for run in chosen], weight, pace)


def _controls(runs: Sequence[RunRow]) -> tuple[list[RunRow], float]:
    """The chosen runs, and the weight of smoothing. The address keeps both."""
    names = [run.name for run in runs]
    if "runs" not in st.session_state and "runs" not in st.query_params:
        st.session_state["runs"] = names[:1]
    left, right = st.columns([3, 1])
    chosen = left.multiselect("Runs", names, key="runs", bind="query-params", max_selections=MOST_RUNS)
    weight = right.slider(
        "Smoothing",
        0.0,
        0.98,
        0.6,
        0.02,
        key="smoothing",
        bind="query-params",
        help="Weight of the past, step by step.",
    )
    return data.by_names(runs, chosen), weight


def _live(run_ids: Sequence[int], weight: float, pace: float | None) -> None:
    """All that changes while a run trains; runs again every `pace` seconds."""
    with parts.errors_shown():
        database = data.reader()
        found = {run.id: run for run in queries.runs(database, ids=run_ids)}
        runs = [found[number] for number in run_ids if number in found]
        if parts.pace(runs) != pace or len(runs) != len(run_ids):
            st.rerun()
        curves = _read(database, runs)
        _summary(runs, curves)
        parts.lost_notes(runs, time.time())
        drawn = _curves(runs, curves, weight)
        if not drawn:
            st.info("No step has ended yet: the first one brings the curves.", icon=":material/hourglass_top:")
        _draw([*drawn, *_distributions(database, runs)])
        st.caption(f"Updated {clock_time()}" if pace else f"Nothing is running: read at {clock_time()}.")


def _read(database: Reader, runs: Sequence[RunRow]) -> data.Curves:
    curves = data.held(database).curves
    ids = [run.id for run in runs]
    names = [name for panel in PANELS for name in panel.metrics]
    validation = [name for name in queries.metric_names(database, ids) if name.startswith(_VALIDATION)]
    curves.update(database, ids, [*names, *validation])
    return curves


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


def _curves(runs: Sequence[RunRow], curves: data.Curves, weight: float) -> list[Chart]:
    validation = Panel(
        Titles("Validation", "Accuracy on prompts held out (val-core)", "accuracy"),
        {name: name.removeprefix(_VALIDATION) for name in curves.names if name.startswith(_VALIDATION)},
        smoothed=False,
        all_parts=True,
    )
    names = [run.name for run in runs]
    return [
        Chart(
            f"chart-{panel.titles.title}", charts.lines(lines, panel.titles, weight if panel.smoothed else 0.0, names)
        )
        for panel in (PANELS[0], validation, *PANELS[1:])
        if (lines := _lines(panel, runs, curves))
    ]


def _distributions(database: Reader, runs: Sequence[RunRow]) -> list[Chart]:
    distributions = data.held(database).distributions
    drawn = []
    for run in runs:
        distributions.update(database, run)
        steps, shares = distributions.shares(run.id)
        if steps.size:
            of = run.name if len(runs) > 1 else "Share of the prompts by v̂, after each step; the line is the mean"
            spec = charts.heat_map(steps, shares, Titles("Value of the whole pool", of, "v̂"))
            drawn.append(Chart(f"pool-{run.id}", spec, width=1 if len(runs) > 1 else 2))
    return drawn


def _lines(panel: Panel, runs: Sequence[RunRow], curves: data.Curves) -> list[Line]:
    metrics = panel.metrics if len(runs) == 1 or panel.all_parts else dict(list(panel.metrics.items())[:1])
    lines = [Line(run.name, part, *curves.points(run.id, name)) for run in runs for name, part in metrics.items()]
    return [line for line in lines if np.isfinite(line.values).any()]


def _summary(runs: Sequence[RunRow], curves: data.Curves) -> None:
    """The present state in figures: of one run as a line, of several as a table."""
    figures = [_figures(run, curves) for run in runs]
    if len(runs) == 1:
        with st.container(horizontal=True, vertical_alignment="center", gap="large"):
            with st.container(width="content"):
                parts.badge(runs[0])
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
        if name.startswith(_VALIDATION) and values.size:
            return number(values[0]) if values.size == 1 else f"{number(values[0])} → {number(values[-1])}"
    return NOTHING


_page()
