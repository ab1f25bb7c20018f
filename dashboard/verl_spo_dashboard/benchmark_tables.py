"""Figures of policies and their differences, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from verl_spo.evaluation import published
from verl_spo.evaluation.evaluated import FIGURES, Evaluated
from verl_spo.evaluation.intervals import Interval
from verl_spo_dashboard import benchmark_results
from verl_spo_dashboard.benchmark_choices import View
from verl_spo_dashboard.benchmark_results import Policies
from verl_spo_dashboard.wording import NOTHING

EXPLAINED = {
    "avg@": "mean score of a problem's samples, averaged over problems",
    "maj@": "what the most frequent of k answers scores, drawn without replacement, ties by their mean",
    "verl_maj@": "verl's own maj@k, a bootstrap with replacement: published figures are almost surely this one",
    "pass@": "chance that at least one of k samples is right",
    "pass^": "chance that all k samples are right",
}
"""Each figure in words."""

_COLUMNS = {
    "SPO, published": st.column_config.TextColumn(help="maj@32 of the paper's SPO, in points; it is of 32 samples."),
    "Cut off": st.column_config.TextColumn(help="Share of samples that ended at their token limit, in percent."),
    "Tokens": st.column_config.NumberColumn(help="Mean tokens per answer."),
}


def figures(
    view: View, policies: Sequence[Policies], whole: Mapping[str, Sequence[Evaluated]], after: Evaluated
) -> None:
    """Every benchmark of the first policy at its step, and of the others at their last ones."""
    st.subheader("Figures", anchor=False)
    rows = [(policies[0].name, each) for each in _beside(view, policies[0], after)]
    rows += [(name, of[-1]) for name, of in whole.items() if name != policies[0].name]
    table: dict[str, list[Any]] = {
        "Policy": [name for name, _ in rows],
        "Benchmark": [each.row.benchmark for _, each in rows],
        "Step": [each.row.step for _, each in rows],
        "Problems": [len(each.problems) for _, each in rows],
    }
    for figure in FIGURES:
        values = [benchmark_results.estimate(each, figure, min(view.k, each.results.samples)) for _, each in rows]
        table[view.name(figure)] = list(map(_interval, values))
    table["SPO, published"] = [_points(published.SPO.get(each.row.benchmark)) for _, each in rows]
    table["Cut off"] = [_points(each.results.cut_off / (each.row.samples or 1)) for _, each in rows]
    table["Tokens"] = [round(each.results.length) if each.row.answered else None for _, each in rows]
    help_of = {view.name(figure): st.column_config.TextColumn(help=said) for figure, said in EXPLAINED.items()}
    st.dataframe(table, column_config=help_of | _COLUMNS, hide_index=True, key="latest", alt="Figures of the policies")
    st.caption(
        "Points (hundredths) with 95 % intervals over problems. Another training run differs by more than they say."
    )


def _beside(view: View, policy: Policies, after: Evaluated) -> list[Evaluated]:
    """All benchmarks of the same policy that were sampled alike, and that are answered and judged."""
    names = sorted({row.benchmark for row in policy.rows})
    rows = [row for name in names for row in policy.alike(name, view.sampled) if row.step == after.row.step]
    return benchmark_results.all_evaluated(view.database, rows, view.scorer)[0]


def differences(after: Evaluated, before: Evaluated, k: int) -> None:
    """One policy less another, problem by problem."""
    st.subheader("Difference", anchor=False)
    found = benchmark_results.difference(after, before, k)
    table = {
        "Figure": [each.figure for each in found],
        "Difference": [_interval(each.difference, signed=True) for each in found],
        "p": ["< 0.001" if each.p < 0.001 else f"{each.p:.3f}" for each in found],
    }
    layout = {
        "Difference": st.column_config.TextColumn(help="Step less the one against, in points; 95 % over problems."),
        "p": st.column_config.TextColumn(help="Chance of one as large if the policies did not differ (sign flips)."),
    }
    st.dataframe(table, column_config=layout, hide_index=True, width="content", key="differences", alt="Differences")


def _interval(value: Interval, signed: bool = False) -> str:
    if value.mean != value.mean:
        return NOTHING
    sign = "+" if signed else ""
    bounds = f" [{100 * value.low:{sign}.1f}, {100 * value.high:{sign}.1f}]" if value.low == value.low else ""
    return f"{100 * value.mean:{sign}.1f}{bounds}"


def _points(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"
