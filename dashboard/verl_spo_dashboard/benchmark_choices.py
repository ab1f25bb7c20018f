"""What a reader chooses on the page of benchmarks. The address keeps it all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from verl_spo.evaluation.evaluated import FIGURES, Evaluated, common_samples
from verl_spo.store import Reader
from verl_spo_dashboard import benchmark_results, data, frame
from verl_spo_dashboard.benchmark_results import Policies


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


def models() -> list[str]:
    """Models of no run, beside the runs or alone."""
    database = data.reader()
    names = sorted({row.model for row in benchmark_results.found(database).of(database, None)})
    if not names:
        return []
    return st.multiselect(
        "Models of no run", names, key="model", bind="query-params", max_selections=frame.MOST_RUNS - 1,
        placeholder="None", help="Models that were evaluated by their name or folder.",
    )  # fmt: skip


def view(database: Reader, policies: Sequence[Policies]) -> View | None:
    """What the reader chooses. None if no scorer has judged all answers yet."""
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


def two_steps(first: str, whole: Mapping[str, Sequence[Evaluated]]) -> tuple[Evaluated, Evaluated | None]:
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
