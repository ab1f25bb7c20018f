"""The pages' router, which `verl-spo dashboard` gives to Streamlit."""

from pathlib import Path

import streamlit as st

from verl_spo_dashboard import parts

# A file of ours: Streamlit's own symbols, as an icon of the page, come from Google's servers.
st.set_page_config(page_title="verl-spo", page_icon=Path(__file__).with_name("icon.svg"), layout="wide")
pages = [
    st.Page(parts.RUNS, title="Runs", icon=":material/list:", default=True),
    st.Page(parts.CURVES, title="Curves", icon=":material/show_chart:", url_path="curves"),
    st.Page(parts.PROMPTS, title="Prompts", icon=":material/quiz:", url_path="prompts"),
]
st.navigation(pages, position="top").run()
