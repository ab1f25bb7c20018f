"""Alerts, the list's filter, the comparison of runs and the page of the system, in real Chromium."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_dashboard import CANARY, cell
from tests.support.plausible import PlausibleRun
from tests.support.watched import COLLAPSED, Story
from verl_spo.store.database.connections import open_engine
from verl_spo.store.runs import starts

pytestmark = pytest.mark.browser


def test_a_new_user_sees_the_two_commands_and_then_the_phase(page: Page, url: str) -> None:
    page.goto("/")
    expect(page.get_by_text("verl-spo demo", exact=True)).to_be_visible()
    expect(page.get_by_text("verl-spo train cpu/arithmetic_spo")).to_be_visible()
    PlausibleRun(url, name="before").close()
    starts.begin(open_engine(url), "new", "elsewhere:1:2:3:4", "loading the model")
    expect(page.get_by_text("new: loading the model")).to_be_visible()


def test_the_list_is_filtered_and_the_address_keeps_it(page: Page, url: str) -> None:
    for name in ("math/one", "code/two"):
        PlausibleRun(url, name=name).train(2).close()
    page.goto("/")
    expect(cell(page, "math/one")).to_be_attached()
    page.get_by_role("searchbox", name="Search").fill("CODE")
    expect(cell(page, "math/one")).not_to_be_attached()
    expect(page).to_have_url(re.compile(r"\?q=CODE$"))
    page.reload()
    expect(cell(page, "code/two")).to_be_attached()
    expect(cell(page, "math/one")).not_to_be_attached()


def test_two_runs_are_compared_and_their_curves_opened(page: Page, url: str) -> None:
    for name, d_half in (("a", 0.06), (CANARY, 0.03)):
        Story(steps=3).train(
            url, name, config={"spo": {"d_half": d_half, "store": {"url": f"postgresql://u:s3@h/{CANARY}"}}}
        )
    page.goto("/compare?run=a")
    expect(page.get_by_text("Choose at least one other run")).to_be_visible()
    page.get_by_label("Compare with").click()
    page.get_by_role("option").filter(has_text="onerror").click()
    page.keyboard.press("Escape")
    expect(cell(page, "spo.d_half")).to_be_attached()
    expect(cell(page, "0.03")).to_be_attached()
    expect(page.get_by_text("1 option whose values differ")).to_be_visible()
    page.get_by_role("link", name="Their curves, overlaid").click()
    expect(page).to_have_url(re.compile(r"/training\?run=a&with="))
    expect(page.get_by_role("heading", name="Training")).to_be_visible()
    assert page.title() != "caught"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_run_that_is_not_all_right_says_so(page: Page, url: str, width: int) -> None:
    COLLAPSED.train(url, "bad")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/system?run=bad")
    expect(page.get_by_text("critical: reward-collapse")).to_be_visible()
    expect(page.get_by_text(re.compile("92% below the best such mean"))).to_be_visible()
    expect(page.get_by_text("warning: failing-requests")).to_be_visible()
    expect(cell(page, "tracker_state")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
