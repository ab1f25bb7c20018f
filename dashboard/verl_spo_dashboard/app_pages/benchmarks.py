"""Benchmarks: what policies score over training, how sure that is, and which problems were won and lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from verl_spo.evaluation import published
from verl_spo.evaluation.evaluated import FIGURES, Evaluated, common_samples
from verl_spo.evaluation.intervals import Interval
from verl_spo.store import Reader, queries
from verl_spo.store.queries import EvaluationRow, RunRow
from verl_spo_dashboard import address, benchmark_results, charts, choosing, data, frame, one_problem, overview, texts
from verl_spo_dashboard.benchmark_results import Policies
from verl_spo_dashboard.charts import Estimate, Line, Titles
from verl_spo_dashboard.wording import NOTHING, counted

EXPLAINED = {
    "avg@": "mean score of a problem's samples, averaged over problems",
    "maj@": "what the most frequent of k answers scores, drawn without replacement, ties by their mean",
    "verl_maj@": "verl's own maj@k, a bootstrap with replacement: published figures are almost surely this one",
    "pass@": "chance that at least one of k samples is right",
    "pass^": "chance that all k samples are right",
}
"""Each figure in words."""

_PUBLISHED = {"SPO": published.SPO, "GRPO": published.GRPO}
_TABLE_TEXT = 300


@dataclass(frozen=True)
class View:
    """What the reader looks at: whose verdicts, on which benchmark, sampled how, which figure, of how many samples."""

    database: Reader
    benchmark: str
    sampled: str
    scorer: str
    figure: str
    k: int

    def name(self, figure: str | None = None) -> str:
        """Of a figure, with its number of samples."""
        return f"{figure or self.figure}{self.k}"


def _page() -> None:
    with frame.page("Benchmarks"):
        chosen = frame.choose(compares=True)
        models = _models()
        if chosen is not None:
            frame.live(chosen, lambda database, runs: _show(database, runs, models))
        elif models:
            _show(data.reader(), [], models)


def _models() -> list[str]:
    """Models of no run, beside the runs or alone."""
    database = data.reader()
    names = sorted({row.model for row in benchmark_results.found(database).of(database, None)})
    if not names:
        return []
    return st.multiselect(
        "Models of no run", names, key="model", bind="query-params", max_selections=frame.MOST_RUNS - 1,
        placeholder="None", help="Models that were evaluated by their name or folder.",
    )  # fmt: skip


def _show(database: Reader, runs: Sequence[RunRow], models: Sequence[str]) -> None:
    policies = benchmark_results.policies(database, runs, models)
    if not policies:
        _without_samples(database, runs)
        return
    view = _view(database, policies)
    if view is None:
        return
    digest = policies[0].alike(view.benchmark, view.sampled)[0].problems_digest
    curves = [(each.name, *_whole(view, each.alike(view.benchmark, view.sampled, digest))) for each in policies]
    _left_out(view, curves)
    whole = {name: done for name, done, _ in curves if done}
    if policies[0].name not in whole:
        st.info("These samples are not all answered and judged yet.", icon=":material/hourglass_top:")
        return
    after, before = _two_steps(policies[0].name, whole)
    _over_steps(view, whole)
    _latest(view, policies, whole, after)
    if before is not None:
        _differences(view, after, before)
    _problems(view, after, before)


def _view(database: Reader, policies: Sequence[Policies]) -> View | None:
    """What the reader chooses. The address keeps it all."""
    first = policies[0]
    newest = sorted(first.rows, key=lambda row: -row.started_at)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        benchmark = st.selectbox(
            "Benchmark", sorted({row.benchmark for row in first.rows}), key="benchmark", bind="query-params", width=200
        )
        ways = list(dict.fromkeys(benchmark_results.sampling(row) for row in newest if row.benchmark == benchmark))
        sampled = ways[0]
        if len(ways) > 1:
            sampled = st.selectbox(
                "Sampling", ways, key="sampling", bind="query-params", width=320,
                help="Who asked for the samples, and how they were drawn.",
            )  # fmt: skip
        rows = first.alike(benchmark, sampled)
        judges = list(dict.fromkeys(name for row in rows for name in benchmark_results.scorers(database, row)))
        if not judges:
            st.info("No scorer has judged all of these answers yet.", icon=":material/hourglass_top:")
            return None
        scorer = st.selectbox(
            "Scorer", judges, key="scorer", bind="query-params", width=160,
            help="Whose verdicts count; `reward` is the recipe's own reward function.",
        )  # fmt: skip
        figure = st.segmented_control(
            "Figure", [f"{name}k" for name in FIGURES], key="figure", default="avg@k", required=True,
            bind="query-params", help="What of a problem's samples is averaged over the problems.",
        )  # fmt: skip
        whole, _ = benchmark_results.all_evaluated(database, rows, scorer)
        most = common_samples(whole) if whole else 1
        k = st.selectbox(
            "k", [str(k) for k in _ks(most)], index=None, key="k", placeholder=str(most), bind="query-params", width=90,
            help="How many of a problem's samples the figure is of.",
        )  # fmt: skip
    return View(database, benchmark, sampled, scorer, (figure or "avg@k").removesuffix("k"), int(k) if k else most)


def _ks(most: int) -> list[int]:
    """Numbers of samples to choose from: powers of 2, and all."""
    return sorted({2**power for power in range(most.bit_length()) if 2**power <= most} | {most})


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


def _two_steps(first: str, whole: Mapping[str, Sequence[Evaluated]]) -> tuple[Evaluated, Evaluated | None]:
    """The policy that the tables are about, and the one that it is held against, if there is any."""
    mine = list(whole[first])
    steps = {str(each.row.step): each for each in mine}
    others = [name for name in whole if name != first]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        step = st.selectbox(
            "Step", list(steps), index=None, key="step", bind="query-params", width=140,
            placeholder=f"{mine[-1].row.step}, the last", help="Of the policy that the tables below are about.",
        )  # fmt: skip
        after = steps[step] if step else mine[-1]
        named = {
            f"{name}, step {each.row.step}": each for name, of in whole.items() for each in of if each is not after
        }
        usual = whole[others[0]][-1] if others else next((each for each in mine if each is not after), None)
        if usual is None:
            return after, None
        usual_name = next(name for name, each in named.items() if each is usual)
        against = st.selectbox(
            "Against", list(named), index=None, key="against", bind="query-params", width=320, placeholder=usual_name,
            help="The policy that it is held against, problem by problem.",
        )  # fmt: skip
    return after, named[against] if against else usual


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
    st.caption(f"{view.figure}k: {EXPLAINED[view.figure]}. Bars are 95 % intervals over problems.")


def _latest(
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
    st.dataframe(table, column_config=help_of | _LATEST, hide_index=True, key="latest", alt="Figures of the policies")
    st.caption(
        "Points (hundredths) with 95 % intervals over problems. Another training run differs by more than they say."
    )


_LATEST = {
    "SPO, published": st.column_config.TextColumn(help="maj@32 of the paper's SPO, in points; it is of 32 samples."),
    "Cut off": st.column_config.TextColumn(help="Share of samples that ended at their token limit, in percent."),
    "Tokens": st.column_config.NumberColumn(help="Mean tokens per answer."),
}


def _beside(view: View, policy: Policies, after: Evaluated) -> list[Evaluated]:
    """All benchmarks of the same policy that were sampled alike, and that are answered and judged."""
    names = sorted({row.benchmark for row in policy.rows})
    rows = [row for name in names for row in policy.alike(name, view.sampled) if row.step == after.row.step]
    return benchmark_results.all_evaluated(view.database, rows, view.scorer)[0]


def _differences(view: View, after: Evaluated, before: Evaluated) -> None:
    st.subheader("Difference", anchor=False)
    found = benchmark_results.difference(after, before, view.k)
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


def _interval(value: Interval, signed: bool = False) -> str:
    if value.mean != value.mean:
        return NOTHING
    sign = "+" if signed else ""
    bounds = f" [{100 * value.low:{sign}.1f}, {100 * value.high:{sign}.1f}]" if value.low == value.low else ""
    return f"{100 * value.mean:{sign}.1f}{bounds}"


def _points(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.1f}"


_page()
