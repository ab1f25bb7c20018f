"""The pages: scripts that Streamlit runs anew for every look at them."""
