"""Take the documentation's pictures of the dashboard from a real run.

    python docs/take_pictures.py sqlite:///demo/verl_spo.db arithmetic/spo-1

needs Chromium at /usr/bin/chromium (Debian's package `chromium`).
"""

import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

from verl_spo.store import open_reader, queries
from verl_spo_dashboard.server import serve

FOLDER = Path(__file__).parent / "images"
WIDTH = 1280
SETTLED_MS = 3000


def main(url: str, run: str) -> None:
    """Write every page, each as `NAME-light.png` and `NAME-dark.png`."""
    pages = {
        "runs": "/",
        "training": f"/training?run={quote(run)}",
        "prompts": f"/prompts?run={quote(run)}&sort=Most+visits+first&prompt={most_visited(url, run)}",
        "compare": f"/compare?run={quote(run)}&with={quote(another(url, run))}",
        "system": f"/system?run={quote(run)}",
        "prompt": f"/prompt?run={quote(run)}&sort=Most+visits+first&prompt={most_visited(url, run)}",
        "rollouts": f"/rollouts?run={quote(run)}&rollout={latest_rollout(url, run)}",
    }
    with serve(url, port=0) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for scheme in ("light", "dark"):
            for name, address in pages.items():
                take(browser, server.address + address, scheme, FOLDER / f"{name}-{scheme}.png")
        browser.close()


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
    main(*sys.argv[1:])
