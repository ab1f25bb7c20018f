"""Real pages in real Chromium (Debian's package), served as users serve them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.benchmarked import benchmarked
from tests.support.plausible import PlausibleRun
from verl_spo_dashboard.server import Server, serve

RUN = "arithmetic/spo-1"
WHOLE = f"run={RUN}&prompt=1&step=3&rollout=3.1.0&problem=1&sample=1"
"""What every page has something to show for: a prompt, a session of several turns, a sample of a benchmark."""

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Two cores that others use too: what takes a second by itself may take many.
PATIENCE_MS = 60_000


# Not for the whole session: the tests after these have better uses for its memory.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database, not made yet."""
    return f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture
def dashboard(url: str) -> Iterator[Server]:
    with serve(url, port=0) as server:
        yield server


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A dashboard of a run that has ended, `RUN`, and of another one: for tests that change nothing (`WHOLE`)."""
    url = f"sqlite:///{tmp_path_factory.mktemp('filled') / 'runs.db'}"
    for seed, name in enumerate(("arithmetic/spo-0", RUN)):
        PlausibleRun(url, name=name, seed=seed, multi_turn=True).train(12).close()
    benchmarked(url, RUN, (0, 12), problems=4)
    with serve(url, port=0) as server:
        yield server


def settled(page: Page) -> None:
    """Wait until a page is drawn: its heading is there, and no script runs."""
    page.get_by_role("heading").first.wait_for()
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.evaluate("document.fonts.ready.then(() => true)")


@pytest.fixture
def page(chromium: Browser, dashboard: Server) -> Iterator[Page]:
    """An empty tab. All tabs of its context ask nobody but the dashboard, open no dialog, and hit no error."""
    context = chromium.new_context(base_url=dashboard.address, viewport={"width": 1440, "height": 1250})
    context.set_default_timeout(PATIENCE_MS)
    strangers: list[str] = []
    alarms: list[str] = []
    context.on("request", lambda request: None if _is_own(request.url, dashboard) else strangers.append(request.url))
    context.on("dialog", lambda dialog: (alarms.append(dialog.message), dialog.dismiss()))
    context.on("weberror", lambda error: alarms.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert strangers == []
    assert alarms == []


def _is_own(address: str, server: Server) -> bool:
    return address.startswith((server.address, server.address.replace("http:", "ws:"), "data:", "blob:"))
