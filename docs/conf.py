"""The site that `make docs` builds of these pages; on GitHub they are read as they stand."""

from verl_spo import __version__

project = "verl-spo"
author = "The verl-spo authors"
release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_llms_txt",
]
exclude_patterns = ["_build"]

# Links to a heading, as GitHub makes them of it.
myst_heading_anchors = 4

napoleon_use_ivar = True
autodoc_member_order = "bysource"
# Docstrings say what arrays must be; NumPy's type for what becomes one is a union of twenty.
autodoc_typehints = "none"

html_theme = "furo"
html_title = f"verl-spo {release}"
html_theme_options = {"navigation_with_keys": True}
html_show_sphinx = False

llms_txt_summary = (
    "SPO (Single-stream Policy Optimization) for verl: one response a prompt, a persistent value tracker."
)
