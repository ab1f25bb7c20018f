"""Benchmarks: what policies score over training, how sure that is, and which problems were won and lost."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from verl_spo.evaluation import published
from verl_spo.evaluation.evaluated import FIGURES, Evaluated
from verl_spo.store import Reader, queries
from verl_spo.store.queries import EvaluationRow, RunRow
from verl_spo_dashboard import (
    address,
    benchmark_choices,
    benchmark_results,
    benchmark_tables,
    charts,
    choosing,
    data,
    frame,
    one_problem,
    overview,
    texts,
)
from verl_spo_dashboard.benchmark_choices import View
from verl_spo_dashboard.charts import Estimate, Line, Titles
from verl_spo_dashboard.wording import counted

_PUBLISHED = {"SPO": published.SPO, "GRPO": published.GRPO}
_TABLE_TEXT = 300


def _page() -> None:
    with frame.page("Benchmarks"):
        chosen = frame.choose(compares=True)
        models = benchmark_choices.models()
        if chosen is not None:
            frame.live(chosen, lambda database, runs: _show(database, runs, models))
        elif models:
            _show(data.reader(), [], models)


def _show(database: Reader, runs: Sequence[RunRow], models: Sequence[str]) -> None:
    policies = benchmark_results.policies(database, runs, models)
    if not policies:
        _without_samples(database, runs)
        return
    view = benchmark_choices.view(database, policies)
    if view is None:
        return
    digest = policies[0].alike(view.benchmark, view.sampled)[0].problems_digest
    curves = [(each.name, *_whole(view, each.alike(view.benchmark, view.sampled, digest))) for each in policies]
    _left_out(view, curves)
    whole = {name: done for name, done, _ in curves if done}
    if policies[0].name not in whole:
        st.info("These samples are not all answered and judged yet.", icon=":material/hourglass_top:")
        return
    after, before = benchmark_choices.two_steps(policies[0].name, whole)
    _over_steps(view, whole)
    benchmark_tables.figures(view, policies, whole, after)
    if before is not None:
        benchmark_tables.differences(after, before, view.k)
    _problems(view, after, before)


def _whole(view: View, rows: Sequence[EvaluationRow]) -> tuple[list[Evaluated], list[EvaluationRow]]:
    """Evaluations that can be shown, by step, and those that cannot yet."""
    done, open_ = benchmark_results.all_evaluated(view.database, rows, view.scorer)
    return (
        [each for each in done if each.results.samples >= view.k],
        [*open_, *(each.row for each in done if each.results.samples < view.k)],
    )


def _left_out(view: View, curves: Sequence[tuple[str, list[Evaluated], list[EvaluationRow]]]) -> None:
    for name, done, missing in curves:
        if missing:
            steps = ", ".join(str(row.step) for row in missing[:8])
            st.text(f"{name}: left out, not answered and judged to {counted(view.k, 'sample')}: step {steps}")
        elif not done:
            st.text(f"{name}: was not evaluated on the same problems, sampled alike")


def _over_steps(view: View, whole: Mapping[str, Sequence[Evaluated]]) -> None:
    points = [
        Estimate(name, each.row.step, value.mean, value.low, value.high)
        for name, of in whole.items()
        for each in of
        if (value := benchmark_results.estimate(each, view.figure, view.k)).mean == value.mean
    ]
    if not points:
        st.info("This scorer does not say which answers it found: there is no majority.", icon=":material/info:")
        return
    known = benchmark_results.published_of(view.figure, view.k, _PUBLISHED, view.benchmark)
    titles = Titles(view.name(), "by the policy's training step", "share of 1")
    st.vega_lite_chart(charts.estimates(points, known, titles), key="estimates")
    st.caption(f"{view.figure}k: {benchmark_tables.EXPLAINED[view.figure]}. Bars are 95 % intervals over problems.")


def _problems(view: View, after: Evaluated, before: Evaluated | None) -> None:
    st.subheader("Problems", anchor=False)
    now = FIGURES["avg@"](after.results, view.k)
    then = None if before is None else FIGURES["avg@"](before.results, view.k)
    places = [problem.place for problem in after.problems]
    if then is not None:
        won, lost = int((now > then).sum()), int((now < then).sum())
        st.text(f"{counted(won, 'problem')} won, {lost:,} lost, {len(places) - won - lost:,} as before")
        places.sort(key=lambda place: (-abs(now[place] - then[place]), place))
    else:
        places.sort(key=lambda place: (now[place], place))
    table: dict[str, list[Any]] = {
        "Problem": [texts.line(after.problems[place].question, _TABLE_TEXT) for place in places],
        "Right answer": [texts.line(after.problems[place].ground_truth, _TABLE_TEXT) for place in places],
        "Now": [100 * now[place] for place in places],
    }
    if then is not None:
        table["Before"] = [100 * then[place] for place in places]
        table["Change"] = [100 * (now[place] - then[place]) for place in places]
    choosing.table(table, "problem", list(map(str, places)), column_config=_PROBLEMS, height=380, alt="Problems")
    place = address.number("problem")
    if place is None or place >= len(places):
        st.info("Click a problem to read its answers.", icon=":material/ads_click:")
        return
    one_problem.show(view.database, after, before, place)


_PROBLEMS = {
    "Problem": st.column_config.TextColumn(width="large"),
    "Now": st.column_config.NumberColumn(format="%.1f", help="Mean score at the step, in points."),
    "Before": st.column_config.NumberColumn(format="%.1f", help="Mean score of the policy that it is held against."),
    "Change": st.column_config.NumberColumn(format="%+.1f", help="Points won, or lost."),
}


def _without_samples(database: Reader, runs: Sequence[RunRow]) -> None:
    """What verl itself logged of its validations, where no sample is stored."""
    ids = [run.id for run in runs]
    names = [name for name in queries.metric_names(database, ids) if name.startswith(overview.VALIDATION)]
    st.info("No benchmark was evaluated with its samples kept.", icon=":material/leaderboard:")
    st.code("verl-spo evaluate RUN", language="bash")
    if not names:
        return
    held = data.held(database)
    held.curves.update(database, ids, names)
    lines = [
        Line(run.name, name.removeprefix(overview.VALIDATION), *points)
        for run in runs
        for name in names
        if (points := held.curves.points(run.id, name))[0].size
    ]
    titles = Titles("Validation, as verl logged it", "verl's own metrics: no samples, so no intervals", "score")
    st.vega_lite_chart(charts.lines(lines, titles, runs=[run.name for run in runs]), key="logged")


_page()
