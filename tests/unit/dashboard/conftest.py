from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from verl_spo.store.database.urls import VARIABLE
from verl_spo_dashboard.server import APP


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database, not made yet, that the pages show."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    monkeypatch.setenv(VARIABLE, url)
    # What one test read is not another one's.
    st.cache_resource.clear()
    st.cache_data.clear()
    return url


@pytest.fixture
def open_page(url: str) -> Callable[..., AppTest]:
    """Opens a page, `runs`, `training`, `prompts` and so on, at an address with these parameters."""

    def open_page(name: str, **parameters: str | list[str]) -> AppTest:
        app = AppTest.from_file(APP, default_timeout=60).run()
        app.switch_page(f"app_pages/{name}.py")
        app.query_params.update(parameters)
        return app.run()

    return open_page
