"""The pages' router, which `verl-spo dashboard` gives to Streamlit."""

from pathlib import Path

import streamlit as st

from verl_spo_dashboard import garbage, login, pages

# A file of ours: Streamlit's own symbols, as an icon of the page, come from Google's servers.
st.set_page_config(page_title="verl-spo", page_icon=Path(__file__).with_name("icon.svg"), layout="wide")
login.gate()
every = pages.all_pages()
# Streamlit's own row of pages hides on a phone.
page = st.navigation(every, position="hidden")
top = st.container()
page.run()
# The page has put the run that it shows into the address, and the links take it along.
with top:
    pages.links(every)
    login.who()
garbage.spare(page.url_path)
