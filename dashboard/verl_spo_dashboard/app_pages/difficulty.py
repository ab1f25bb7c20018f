"""What a run's model finds hard: the pool by value now and over time, and where the draws go."""

from collections.abc import Sequence

import streamlit as st

from verl_spo.core.difficulty import OTHERS, Difficulty
from verl_spo.store import Reader
from verl_spo.store.queries import RunRow
from verl_spo_dashboard import address, data, difficulty_panels, frame, pages, panels, parts
from verl_spo_dashboard.chart import Chart
from verl_spo_dashboard.difficulty_panels import HISTOGRAM, TROUBLES

SIDE_BY_SIDE = 2
"""Runs, at most."""


def _page() -> None:
    with frame.page("Difficulty"):
        if chosen := frame.choose(compares=True):
            frame.live(chosen, _show)


def _show(database: Reader, runs: Sequence[RunRow]) -> None:
    if len(runs) > SIDE_BY_SIDE:
        st.caption("Two runs fit side by side: these are the first two.")
        runs = runs[:SIDE_BY_SIDE]
    held = data.held(database)
    held.curves.update(database, [run.id for run in runs], list(TROUBLES))
    for run in runs:
        held.distributions.update(database, run)
    reads = [held.difficulties.update(database, run) for run in runs]
    values = difficulty_panels.values(runs, reads)
    if not values:
        st.info("No step has ended yet: the first one says what is hard.", icon=":material/hourglass_top:")
        return
    heat_maps = panels.of_distributions(runs, held.distributions)
    _row([*values, *heat_maps] if len(runs) == 1 else values)
    if len(runs) > 1:
        _row(heat_maps)
    drawn = [*values, *heat_maps]
    for run, read in zip(runs, reads, strict=True):
        if len(runs) > 1:
            st.text(run.name)
        for charts in (
            difficulty_panels.flow(run, read), difficulty_panels.pool(run, read), difficulty_panels.draws(run, read)
        ):  # fmt: skip
            _row(charts)
            drawn += charts
    troubles = difficulty_panels.troubles(runs, held.curves)
    _row(troubles)
    parts.downloads([*drawn, *troubles], len(runs) > 1)


def _row(charts: Sequence[Chart]) -> None:
    """Charts beside each other."""
    if not charts:
        return
    for column, chart in zip(st.columns([chart.width for chart in charts], gap="medium"), charts, strict=True):
        with column:
            _one(chart)


def _one(chart: Chart) -> None:
    """A chart; a click on a bar of prompts leads to these prompts."""
    for picked in parts.chart(chart):
        if chart.key.startswith(HISTOGRAM):
            query = {"value_from": f"{picked['low']:.2f}", "value_to": f"{picked['high']:.2f}"}
        else:
            # Of the smallest sources together there is no list: their class's is shown.
            source = {} if picked["name"] == OTHERS else {"source": picked["name"]}
            query = {**source, **difficulty_panels.FILTER_OF[Difficulty(int(picked["place"]))]}
        st.switch_page(pages.PROMPTS, query_params={address.RUN: chart.run, **query})


_page()
