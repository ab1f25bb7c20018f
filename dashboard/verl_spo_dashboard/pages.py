"""Which pages there are, by the files that Streamlit knows them by, and how one leads to another."""

from collections.abc import Sequence

import streamlit as st

from verl_spo_dashboard import address

RUNS = "app_pages/runs.py"
TRAINING = "app_pages/training.py"
DIFFICULTY = "app_pages/difficulty.py"
PROMPTS = "app_pages/prompts.py"
PROMPT = "app_pages/prompt.py"
ROLLOUTS = "app_pages/rollouts.py"
BENCHMARKS = "app_pages/benchmarks.py"
COMPARE = "app_pages/compare.py"
SYSTEM = "app_pages/system.py"


def all_pages() -> list[st.Page]:
    """Every page, in the order of the links on top; those without a link are reached from others."""
    return [
        st.Page(RUNS, title="Runs", icon=":material/list:", default=True),
        st.Page(TRAINING, title="Training", icon=":material/show_chart:", url_path="training"),
        st.Page(DIFFICULTY, title="Difficulty", icon=":material/fitness_center:", url_path="difficulty"),
        st.Page(PROMPTS, title="Prompts", icon=":material/quiz:", url_path="prompts"),
        st.Page(PROMPT, title="Prompt", icon=":material/query_stats:", url_path="prompt", visibility="hidden"),
        st.Page(ROLLOUTS, title="Rollouts", icon=":material/forum:", url_path="rollouts"),
        st.Page(BENCHMARKS, title="Benchmarks", icon=":material/leaderboard:", url_path="benchmarks"),
        st.Page(COMPARE, title="Compare", icon=":material/compare_arrows:", url_path="compare"),
        st.Page(SYSTEM, title="System", icon=":material/dns:", url_path="system"),
    ]


def links(pages: Sequence[st.Page]) -> None:
    """Links to pages, which take the chosen runs along. In a row that breaks: a phone shows all of them too."""
    with st.container(horizontal=True, gap="xsmall", key="pages"):
        for page in pages:
            if page.visibility == "visible":
                st.page_link(page, query_params=address.runs())
