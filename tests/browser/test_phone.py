"""Every page on a phone: as wide as it is, with all its links."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE_MS, WHOLE, settled
from tests.support import addresses
from verl_spo_dashboard.server import Server

pytestmark = pytest.mark.browser

WIDTH = 390

expect.set_options(timeout=PATIENCE_MS)


@pytest.mark.parametrize("path", addresses.paths())
def test_a_page_is_not_wider_than_a_phone(chromium: Browser, filled: Server, path: str) -> None:
    context = chromium.new_context(base_url=filled.address, viewport={"width": WIDTH, "height": 844})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"/{path}?{WHOLE}")
    settled(page)
    links = page.get_by_test_id("stPageLink")
    expect(links.first).to_be_visible()
    for link in links.all():
        box = link.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= WIDTH
    # Streamlit scrolls its own container; neither it nor the document may be wider.
    widths = page.evaluate(
        "[document.scrollingElement, document.querySelector('[data-testid=stMain]')].map(each => each.scrollWidth)"
    )
    assert max(widths) <= WIDTH
    context.close()
