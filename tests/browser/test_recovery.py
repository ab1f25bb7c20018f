"""A database that goes away while a page is open, and comes back."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS
from tests.support import addresses
from tests.support.plausible import PlausibleRun

pytestmark = pytest.mark.browser

expect.set_options(timeout=PATIENCE_MS)

SHOWN = "svg.marks, [data-testid=stDataFrame]"


@pytest.mark.parametrize("running", [True, False])
def test_a_page_recovers_by_itself(page: Page, url: str, running: bool) -> None:
    run = PlausibleRun(url, name="a").train(4)
    if not running:
        run.close()
    page.goto("/training?run=a")
    expect(page.locator("svg.marks").first).to_be_visible()
    page.evaluate("window.loadedOnce = true")
    away(url)
    # What nothing changes on asks nothing of the database; a reader's next click does.
    if not running:
        page.get_by_role("radio", name="Hours").click()
    expect(page.get_by_text("This cannot be shown.").first).to_be_visible()
    expect(page.get_by_text("no such file").first).to_be_visible()
    back(url)
    expect(page.get_by_text("This cannot be shown.")).to_have_count(0)
    expect(page.locator("svg.marks").first).to_be_visible()
    if running:
        run.train(3)
        expect(page.get_by_test_id("stMetricValue").first).to_have_text("7")
        run.close()
    assert page.evaluate("window.loadedOnce")


def test_the_list_of_runs_recovers_by_itself(page: Page, url: str) -> None:
    PlausibleRun(url, name="a").train(4).close()
    page.goto("/")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    away(url)
    expect(page.get_by_text("This cannot be shown.")).to_be_visible()
    back(url)
    expect(page.get_by_text("This cannot be shown.")).to_have_count(0)
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()


def test_pages_that_are_opened_while_the_database_is_away_recover(page: Page, url: str) -> None:
    for name in ("a", "b"):
        PlausibleRun(url, name=name).train(4).close()
    away(url)
    opened = {path: page.context.new_page() for path in addresses.paths()}
    for path, each in opened.items():
        each.goto(f"/{path}?run=a&with=b&step=3&prompt=1")
        # The list of runs takes it for one that is not there yet.
        words = "This cannot be shown." if path else "There is no file"
        expect(each.get_by_text(words).first, path).to_be_visible()
    back(url)
    for path, each in opened.items():
        expect(each.get_by_text("This cannot be shown."), path).to_have_count(0)
        expect(each.locator(SHOWN).first, path).to_be_visible()


def files(url: str) -> list[Path]:
    """A database with what SQLite keeps beside it."""
    path = Path(url.removeprefix("sqlite:///"))
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]


def away(url: str) -> None:
    for path in files(url):
        if path.exists():
            path.rename(path.with_name(f"{path.name}.away"))


def back(url: str) -> None:
    # The database itself last: a reader that finds it without its log would make another one.
    for path in reversed(files(url)):
        there = path.with_name(f"{path.name}.away")
        if there.exists():
            there.rename(path)
