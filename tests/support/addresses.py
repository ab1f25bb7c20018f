"""Where the dashboard's pages are."""

from typing import Any
from unittest.mock import patch

import streamlit as st

from verl_spo_dashboard import pages


def paths() -> list[str]:
    """Every page's path, without a leading slash. Streamlit tells it only to a script that it runs."""

    def path(_: str, *, url_path: str = "", **__: Any) -> str:
        return url_path

    with patch.object(st, "Page", path):
        return [str(each) for each in pages.all_pages()]
