"""What a reader waits for: pages in real Chromium, timed from the click to the end of what it set off."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PATIENCE_MS = 120_000

# Streamlit says on its root whether a script runs; each end is noted with its time.
_WATCH = """
() => {
  window.ends = [];
  window.addEventListener('click', () => { window.clicked = performance.now(); }, {capture: true});
  const root = document.querySelector('[data-testid=stApp]');
  let before = root.getAttribute('data-test-script-state');
  new MutationObserver(() => {
    const state = root.getAttribute('data-test-script-state');
    if (state === 'notRunning' && before !== state) requestAnimationFrame(() => window.ends.push(performance.now()));
    before = state;
  }).observe(root, {attributes: true, attributeFilter: ['data-test-script-state']});
}
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_page(context: BrowserContext, address: str, shown: str) -> tuple[Page, float]:
    """Open a page; returns it with the seconds until there was what `shown` selects."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    started = time.perf_counter()
    page.goto(address)
    page.locator(shown).first.wait_for(state="attached")
    seconds = time.perf_counter() - started
    page.wait_for_selector("[data-test-script-state=notRunning]", state="attached")
    page.evaluate(_WATCH)
    return page, seconds


def interact(page: Page, action: Callable[[Page], object]) -> float:
    """Seconds from the click that something ends with until its scripts have run and the page is drawn.

    From before it is done, if it clicks nothing.
    """
    before = page.evaluate("window.clicked = performance.now(), window.ends.length")
    action(page)
    page.wait_for_function("before => window.ends.length > before", arg=before)
    return float(page.evaluate("window.ends[window.ends.length - 1] - window.clicked")) / 1e3
