"""Take the documentation's pictures of the dashboard.

    python docs/take_pictures.py                                              # of two runs that are made up
    python docs/take_pictures.py sqlite:///demo/verl_spo.db arithmetic/spo-1  # of a real one

needs Chromium at /usr/bin/chromium (Debian's package `chromium`), and is run from the checkout's top.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

from verl_spo.store import open_reader, queries
from verl_spo_dashboard.server import serve

FOLDER = Path(__file__).parent / "images"
WIDTH = 1280
SETTLED_MS = 3000
IN_THE_DARK = ("training", "prompts")
"""Pages that are shown on a dark background too."""

MADE_UP = "arithmetic/spo-1"


def main(url: str, run: str) -> None:
    """Write every page as `NAME-light.png`, and some as `NAME-dark.png`."""
    pages = {
        "runs": "/",
        "training": f"/training?run={quote(run)}",
        "difficulty": f"/difficulty?run={quote(run)}",
        "prompts": f"/prompts?run={quote(run)}&sort=Most+visits+first&prompt={most_visited(url, run)}",
        "prompt": f"/prompt?run={quote(run)}&sort=Most+visits+first&prompt={most_visited(url, run)}",
        "rollouts": f"/rollouts?run={quote(run)}&rollout={latest_rollout(url, run)}",
        "benchmarks": f"/benchmarks?run={quote(run)}",
        "compare": f"/compare?run={quote(run)}&with={quote(another(url, run))}",
        "system": f"/system?run={quote(run)}",
    }
    with serve(url, port=0) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for name, address in pages.items():
            take(browser, server.address + address, "light", FOLDER / f"{name}-light.png")
            if name in IN_THE_DARK:
                take(browser, server.address + address, "dark", FOLDER / f"{name}-dark.png")
        browser.close()


def make_up(url: str) -> None:
    """Two runs that look like real ones, one of them with benchmarks."""
    from tests.support.benchmarked import benchmarked
    from tests.support.plausible import PlausibleRun, arithmetic

    questions = arithmetic(2000)
    PlausibleRun(url, name="arithmetic/spo-2", questions=questions, batch=64, seed=3, speed=0.01).train(150).close()
    PlausibleRun(url, name=MADE_UP, questions=questions, batch=64, speed=0.008).train(240).close()
    benchmarked(url, MADE_UP, (0, 80, 160, 240))


def most_visited(url: str, run: str) -> int:
    """The prompt with the longest history."""
    with open_reader(url) as reader:
        page = queries.prompts(reader, queries.run(reader, run).run.id, "visits", descending=True, limit=1)
    return page.rows[0].prompt_id


def another(url: str, run: str) -> str:
    """The newest other run, or this one if there is no other."""
    with open_reader(url) as reader:
        return next((row.name for row in queries.runs(reader) if row.name != run), run)


def latest_rollout(url: str, run: str) -> str:
    """The newest text that was kept, as the address names it."""
    with open_reader(url) as reader:
        page = queries.rollouts(reader, queries.run(reader, run).run.id, limit=1)
    return ".".join(map(str, page.rows[0].observation.key))


def take(browser: Browser, address: str, scheme: str, target: Path) -> None:
    """One picture, as high as what it shows but not much higher than a screen."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme=scheme)
    page.goto(address)
    page.get_by_role("heading").first.wait_for()
    page.wait_for_timeout(SETTLED_MS)
    page.set_viewport_size({"width": WIDTH, "height": content_height(page)})
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=target)
    page.close()


def content_height(page: Page) -> int:
    """Of what is on the page, without the empty rest."""
    bottom = page.evaluate(
        "document.querySelector('[data-testid=stMainBlockContainer]').getBoundingClientRect().bottom"
    )
    return min(max(round(bottom), 300), 1250)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(*sys.argv[1:])
    else:
        sys.path.insert(0, str(Path.cwd()))
        with TemporaryDirectory() as folder:
            made_up = f"sqlite:///{folder}/verl_spo.db"
            make_up(made_up)
            main(made_up, MADE_UP)
