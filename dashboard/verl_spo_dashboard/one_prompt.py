"""One prompt: what it asks, how its value moved, what the model answered. All of it is shown as plain text."""

from collections.abc import Sequence

import streamlit as st

from verl_spo.store import Reader, queries
from verl_spo.store.queries import ObservationRow, PromptInRun, PromptRow, RolloutRow, RunRow
from verl_spo_dashboard import asked, charts, pages, parts, texts
from verl_spo_dashboard.charts import Titles
from verl_spo_dashboard.wording import NOTHING, number

ROLLOUTS = 5
_VISITS = 500


def show(database: Reader, run: RunRow, prompt_id: int | None) -> None:
    """Show a prompt of a run, or how to choose one."""
    if prompt_id is None:
        st.info("Click a prompt to see its history and its answers.", icon=":material/ads_click:")
        return
    with parts.errors_shown():
        prompt = queries.prompt(database, run.id, prompt_id)
        head(prompt)
        st.page_link(
            pages.PROMPT, label="All about this prompt", icon=":material/query_stats:",
            query_params=asked.link(prompt_id),
        )  # fmt: skip
        _history(prompt, queries.prompt_history(database, run.id, prompt_id, limit=_VISITS))
        _answers(queries.prompt_rollouts(database, run.id, prompt_id, limit=ROLLOUTS))


def interval(prompt: PromptRow | PromptInRun) -> str:
    """The 90 % interval of a prompt's success rate."""
    return f"{prompt.low:.2f} – {prompt.high:.2f}"


def head(prompt: PromptRow) -> None:
    """What a prompt asks, and what its run's tracker knows of it."""
    texts.show(prompt.text)
    if prompt.ground_truth:
        st.text(f"Right answer: {texts.cut(prompt.ground_truth)}")
    with st.container(horizontal=True, gap="medium"):
        st.metric("Value", number(prompt.value), width="content", help="Estimated success rate (v̂).")
        st.metric("90 % interval", interval(prompt), width="content", help="Of the success rate (Wilson's).")
        st.metric(
            "Evidence", number(prompt.n_eff, 1), width="content", help="In observations; it fades with age (N_eff)."
        )
        st.metric("Visits", f"{prompt.visits:,}", width="content", help="Trajectories that it has had.")
        st.metric("Last step", prompt.last_step or NOTHING, width="content", help="Of its latest visit.")


def _history(prompt: PromptRow, visits: Sequence[ObservationRow]) -> None:
    if not visits:
        none = "None of its visits is in this run's history" if prompt.visits else "Not visited yet"
        st.info(f"{none}: its value is where it began.", icon=":material/hourglass_top:")
        return
    titles = Titles("History", "v̂ after each visit with its 90 % interval; circles are rewards", "v̂, reward")
    st.vega_lite_chart(charts.prompt_history(visits, titles), key="history")


def _answers(rollouts: Sequence[RolloutRow]) -> None:
    st.header("Answers", anchor=False)
    if not rollouts:
        st.text("None was kept: a run keeps the share spo.store.rollout_fraction of its texts.")
        return
    for rollout in rollouts:
        seen = rollout.observation
        superseded = " · superseded by a resume" if seen.superseded else ""
        with st.container(gap="xsmall"):
            st.text(f"Step {seen.step} · reward {seen.reward:g} · {seen.response_length} tokens{superseded}")
            texts.show(rollout.response or "")
    with st.expander("The prompt as the model read it"):
        texts.show(rollouts[0].prompt or "")
