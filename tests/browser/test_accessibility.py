"""What axe finds on every page, in both themes: nothing serious, nothing critical."""

from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.conftest import PATIENCE_MS, WHOLE, settled
from tests.support import addresses
from verl_spo_dashboard.server import Server

pytestmark = pytest.mark.browser

GRAVE = {"serious", "critical"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", addresses.paths())
def test_a_page_is_accessible(chromium: Browser, filled: Server, path: str, scheme: Literal["light", "dark"]) -> None:
    context = chromium.new_context(base_url=filled.address, color_scheme=scheme)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"/{path}?{WHOLE}")
    settled(page)
    found = Axe().run(page).response
    context.close()
    assert found["passes"]
    assert grave(found) == []


def grave(found: dict[str, Any]) -> list[str]:
    """Each element that breaks a rule, and how."""
    return [
        f"{rule['id']}: {node['html']} ({node['failureSummary']})"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]
