"""How fast the dashboard is, in a real browser.

    python -m benchmarks.dashboard [--json] [--prompts 100000] [--observations 1000000] [--steps 1000] [--viewers 20]

A run of so many prompts, observations and steps in SQLite; the server and Chromium share the machine. *First paint*: of
each page, the server and the browser's cache being warm, until its first chart or table is there. *Interactions*: from
a click until the scripts that it sets off have run and the page has no more to draw. *Tick*: bytes that the training
page of a run that trains is sent per step, as they travel. *Viewers*: the same interactions while so many others have
that page open, and the run makes a step every two seconds. *Floor*: the same of a page of Streamlit with one
small table and one chart; what is above it is ours, whatever the machine.

Wanted: first paint in 2 s, interactions in 300 ms at the 95th percentile, a tick of at most 100 KB.
"""

import argparse
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import BrowserContext, Page

from benchmarks.dashboard import filling
from benchmarks.dashboard.browser import chromium, interact, open_page
from benchmarks.dashboard.floor import floor
from benchmarks.dashboard.viewers import looking
from benchmarks.dashboard.wire import wire
from benchmarks.store.workload import Trainer, info, prompts, tracker
from verl_spo.config import StoreConfig
from verl_spo.store import RunWriter, open_writer
from verl_spo.store.runs.status import Status
from verl_spo_dashboard import panels
from verl_spo_dashboard.server import Server, serve

CHART = "svg.marks"
TABLE = "[data-testid=stDataFrame] canvas"
PAGES = {
    "runs": ("/", TABLE),
    "training": (f"/training?run={filling.RUN}", CHART),
    "prompts": (f"/prompts?run={filling.RUN}&prompt=77", TABLE),
}
LIVE = "live/run"
LIVE_POOL = 1000
LIVE_BATCH = 256
LIVE_BEFORE = 200
TICKS = 8
SECONDS_A_STEP = 2.0
REPEATS = 7

Action = Callable[[Page], object]


def main() -> None:
    """Measure and print."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="spo-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'runs.db'}"
        filling.fill(url, given.prompts, given.observations, given.steps)
        with serve(url, port=0) as server:
            measured = measure(server, url, given.viewers)
    row = {"prompts": given.prompts, "observations": given.observations, "steps": given.steps, **measured}
    print(
        json.dumps(row, indent=1) if given.json else "\n".join(f"| {name} | {value} |" for name, value in row.items())
    )


def measure(server: Server, url: str, viewers: int) -> dict[str, Any]:
    """All of it."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        row = lowest(context)
        row |= {
            f"first_paint_s_{name}": paint(context, server.address + at, shown) for name, (at, shown) in PAGES.items()
        }
        row |= _spread("interaction_ms", interactions(context, server))
        writer, trainer = live_run(url)
        row |= tick(context, server, writer, trainer)
        with looking(viewers, f"{server.address}/training?run={LIVE}"), training(writer, trainer):
            row |= _spread(f"interaction_ms_{viewers}_viewers", interactions(context, server))
        writer.close(Status.FINISHED)
    return row


def lowest(context: BrowserContext) -> dict[str, Any]:
    """What Streamlit takes for next to nothing."""
    with floor() as address:
        painted = paint(context, address, CHART)
        tab, _ = open_page(context, address, CHART)
        changes = [_option("First", "High"), _option("First", "Low")]
        seconds = [interact(tab, change) for change in changes * REPEATS]
        tab.page.close()
    return {"floor_first_paint_s": painted, **_percentiles("floor_interaction_ms", seconds)}


def paint(context: BrowserContext, address: str, shown: str) -> float:
    """The median seconds to what `shown` selects of a page; the first time, which warms, is left out."""
    seconds = []
    for _ in range(REPEATS):
        tab, took = open_page(context, address, shown)
        seconds.append(took)
        tab.page.close()
    return round(float(np.median(seconds[1:])), 2)


def interactions(context: BrowserContext, server: Server) -> dict[str, list[float]]:
    """Seconds of what readers do on the pages, again and again, by page."""
    seconds = {}
    for name, actions in ACTIONS.items():
        address, shown = PAGES[name]
        tab, _ = open_page(context, server.address + address, shown)
        seconds[name] = [interact(tab, action) for action in actions * REPEATS]
        tab.page.close()
    return seconds


def _option(label: str, option: str) -> Action:
    def choose(page: Page) -> None:
        box = page.get_by_role("combobox", name=label)
        # A list closes again when the page scrolls.
        box.scroll_into_view_if_needed()
        box.click()
        page.get_by_role("option", name=option).click()

    return choose


def _press(name: str) -> Action:
    return lambda page: page.get_by_text(name, exact=True).first.click()


def _page_number(number: int) -> Action:
    return lambda page: page.get_by_role("button", name=f"Page {number}", exact=True).click()


ACTIONS: Mapping[str, list[Action]] = {
    "training": [_press("Trajectories"), _press("Step"), _press("Hours")],
    "prompts": [
        _option("Order", "Most visits first"),
        _option("Order", "Hardest first"),
        _page_number(2),
        _page_number(1),
    ],
}


def live_run(url: str) -> tuple[RunWriter, Trainer]:
    """A run that trains, beside the large one."""
    rows = tracker(LIVE_POOL, np.random.default_rng(2))
    writer = open_writer(StoreConfig(url=url), info(LIVE), prompts(LIVE_POOL), rows, None)
    trainer = Trainer(LIVE_POOL, LIVE_BATCH)
    for _ in range(LIVE_BEFORE):
        train(writer, trainer)
    return writer, trainer


def train(writer: RunWriter, trainer: Trainer) -> None:
    """A step, with the metrics that the training page shows."""
    record = trainer.record(trainer.arrays())
    writer.submit(record)
    writer.log(record.step, {name: float(np.random.default_rng(record.step).random()) for name in panels.metrics()})
    writer.flush()


@contextmanager
def training(writer: RunWriter, trainer: Trainer) -> Iterator[None]:
    """A run that makes a step every two seconds, so that whoever looks at it is sent what is new."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(SECONDS_A_STEP):
            train(writer, trainer)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def tick(context: BrowserContext, server: Server, writer: RunWriter, trainer: Trainer) -> dict[str, Any]:
    """Bytes of a look at a run that has made a step since the last one, as they travel."""
    sizes = []
    with wire(server.address) as way:
        tab, _ = open_page(context, f"{way.address}/training?run={LIVE}", CHART)
        for _ in range(TICKS):
            before = way.bytes
            interact(tab, lambda _: train(writer, trainer))
            sizes.append(way.bytes - before)
        tab.page.close()
    return {"tick_kb": round(float(np.median(sizes)) / 1e3, 1)}


def _spread(name: str, seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Milliseconds of all pages, and page by page."""
    all_pages = [each for page in seconds.values() for each in page]
    row: dict[str, float] = {}
    for page, values in {"all": all_pages, **seconds}.items():
        row |= _percentiles(f"{name}_{page}", values)
    return row


def _percentiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p{share}": round(1e3 * float(np.percentile(seconds, share))) for share in (50, 95)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dashboard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--observations", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--viewers", type=int, default=20)
    return parser.parse_args()
