"""What a reader waits for: pages in real Chromium, timed from the click to the end of what it sets off."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, BrowserContext, Page, WebSocket, sync_playwright
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
PATIENCE_MS = 120_000

_CLICKED = "window.addEventListener('click', () => { window.clicked = performance.now(); }, {capture: true});"
_DRAWN = "new Promise(done => requestIdleCallback(() => done(performance.now() - window.clicked)))"


@dataclass(frozen=True)
class Tab:
    """A page that is open, and the stream of what its server sends it."""

    page: Page
    stream: WebSocket


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_page(context: BrowserContext, address: str, shown: str) -> tuple[Tab, float]:
    """Open a page; returns it with the seconds until there was what `shown` selects."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script(_CLICKED)
    started = time.perf_counter()
    with page.expect_websocket() as stream:
        page.goto(address)
    page.locator(shown).first.wait_for(state="attached")
    seconds = time.perf_counter() - started
    page.wait_for_selector("[data-test-script-state=notRunning]", state="attached")
    return Tab(page, stream.value), seconds


def interact(tab: Tab, action: Callable[[Page], object]) -> float:
    """Seconds from the click that something ends with until its script has run and the page has no more to draw."""
    with tab.stream.expect_event("framereceived", is_end):
        action(tab.page)
    return float(tab.page.evaluate(_DRAWN)) / 1e3


def is_end(frame: bytes | str) -> bool:
    """Whether a message says that a script has run."""
    kind = ForwardMsg.FromString(frame).WhichOneof("type") if isinstance(frame, bytes) else None
    return kind == "script_finished"
