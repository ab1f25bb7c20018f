"""A page that nobody closes costs no more after many looks than after few (figures: `benchmarks.dashboard.week`)."""

import pytest
from playwright.sync_api import Browser

from benchmarks.dashboard.week import PARTS, LiveRun, growth, watch
from verl_spo_dashboard.server import Server

pytestmark = pytest.mark.browser


def test_an_open_page_neither_keeps_what_it_drew_nor_listens_twice(
    chromium: Browser, dashboard: Server, url: str
) -> None:
    run = LiveRun(url)
    # Charts have all the points by then that they get.
    run.train(200)
    samples = list(watch(chromium.new_context(), dashboard, run, steps=2 * PARTS, looks=2 * PARTS, faster=2))
    run.close()
    assert samples[-1].looks >= 2 * PARTS
    # How much of a look the browser still holds differs by a fifth; what is kept of each would be half a page.
    assert growth(samples, "nodes") < 0.5
    assert growth(samples, "listeners") < 0.05
