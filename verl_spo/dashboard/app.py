"""The pages' router, which `verl-spo dashboard` gives to Streamlit."""

import streamlit as st

from verl_spo.dashboard import parts

st.set_page_config(page_title="verl-spo", page_icon=":material/monitoring:", layout="wide")
pages = [
    st.Page(parts.RUNS, title="Runs", icon=":material/list:", default=True),
    st.Page(parts.CURVES, title="Curves", icon=":material/show_chart:", url_path="curves"),
    st.Page(parts.PROMPTS, title="Prompts", icon=":material/quiz:", url_path="prompts"),
]
st.navigation(pages, position="top").run()
