"""What a page costs that nobody closes: the training page of a run, open while the run trains for a week.

    python -m benchmarks.dashboard.week [--json] [--steps 3000] [--looks 300] [--faster 1]

The page looks at the run every two seconds, 300,000 times a week: many more times than these, so steps are written in
batches between the looks. `--faster` shortens its timers too, on a quiet machine: one whose looks take longer than the
time between them draws nothing. Measured after each tenth of the looks, memory in the
browser after its garbage was collected: DOM nodes, event listeners, JavaScript's heap, the server's memory, and the
bytes and seconds of a look. The run has `--before` steps when the page opens, so that its charts are as full as they
get. *Grows*: from the middle to the end.
"""

import argparse
import base64
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import BrowserContext, CDPSession, Page

from benchmarks.dashboard.browser import PATIENCE_MS, chromium, is_end
from benchmarks.store.workload import Trainer, info, prompts, tracker
from verl_spo.config import StoreConfig
from verl_spo.store import RunWriter, open_writer
from verl_spo.store.runs.status import Status
from verl_spo_dashboard import panels
from verl_spo_dashboard.server import Server, serve

RUN = "week/run"
POOL = 500
BATCH = 32
BINS = 20
PARTS = 10

_FASTER = "const usual = window.setInterval; window.setInterval = (f, ms, ...more) => usual(f, ms / %d, ...more);"


@dataclass(frozen=True)
class Sample:
    """What the page has cost by now.

    Attributes:
        step: The run's.
        looks: How often the page has looked at the run.
        nodes: DOM nodes, those that are no longer on the page but still held included.
        listeners: Event listeners of JavaScript.
        heap_mb: JavaScript's heap, its garbage collected.
        server_mb: Resident memory of the server.
        look_kb: What a look was sent since the last sample, on average.
        look_s: Seconds between two looks since the last sample, on average.
    """

    step: int
    looks: int
    nodes: int
    listeners: int
    heap_mb: float
    server_mb: float
    look_kb: float
    look_s: float


class LiveRun:
    """A run that trains when it is told to, with every metric that the training page shows."""

    def __init__(self, url: str) -> None:
        self._rng = np.random.default_rng(0)
        self._trainer = Trainer(POOL, BATCH)
        self._writer: RunWriter = open_writer(
            StoreConfig(url=url), info(RUN), prompts(POOL), tracker(POOL, self._rng), None
        )
        self.step = 0

    def train(self, steps: int) -> None:
        """Take steps, and return when they are in the database."""
        names = [*panels.metrics(), "val-core/math/acc/mean@1"]
        for _ in range(steps):
            record = self._trainer.record(self._trainer.arrays())
            histogram = self._rng.multinomial(POOL, np.full(BINS, 1 / BINS)).tolist()
            self._writer.submit(replace(record, summary={"value_histogram": histogram}))
            self._writer.log(record.step, dict(zip(names, self._rng.random(len(names)).tolist(), strict=True)))
            self.step = record.step
        self._writer.flush()

    def close(self) -> None:
        """End it."""
        self._writer.close(Status.FINISHED)


class Watched:
    """An open page, and what it costs."""

    def __init__(self, page: Page, server: Server) -> None:
        self._page = page
        self._server = psutil.Process(server.process.pid)
        self._browser: CDPSession = page.context.new_cdp_session(page)
        self._bytes = self._looks = 0
        self._times: list[float] = []
        for domain in ("Network", "Performance", "HeapProfiler"):
            self._browser.send(f"{domain}.enable")
        self._browser.on("Network.webSocketFrameReceived", self._hear)

    def wait_for(self, step: int, looks: int) -> None:
        """Until the page shows a step, and has looked so many times since the last sample."""
        self._page.get_by_test_id("stMetricValue").get_by_text(f"{step:,}", exact=True).wait_for()
        while self._looks < looks:
            self._page.wait_for_timeout(100)

    def sample(self, step: int, before: int) -> Sample:
        """What it costs, after so many looks before those since the last sample."""
        self._browser.send("HeapProfiler.collectGarbage")
        figures = {each["name"]: each["value"] for each in self._browser.send("Performance.getMetrics")["metrics"]}
        looks, times = self._looks, self._times
        sample = Sample(
            step=step,
            looks=before + looks,
            nodes=int(figures["Nodes"]),
            listeners=int(figures["JSEventListeners"]),
            heap_mb=round(figures["JSHeapUsedSize"] / 1e6, 2),
            server_mb=round(self._server.memory_info().rss / 1e6, 1),
            look_kb=round(self._bytes / max(looks, 1) / 1e3, 1),
            look_s=round((times[-1] - times[0]) / max(looks - 1, 1), 3),
        )
        self._bytes, self._looks, self._times = 0, 0, []
        return sample

    def _hear(self, event: dict[str, object]) -> None:
        response = event["response"]
        assert isinstance(response, dict)
        frame = base64.b64decode(response["payloadData"])
        self._bytes += len(frame)
        if is_end(frame):
            self._looks += 1
            assert isinstance(event["timestamp"], float)
            self._times.append(event["timestamp"])


def watch(
    context: BrowserContext, server: Server, run: LiveRun, steps: int, looks: int, faster: int
) -> Iterator[Sample]:
    """Open the training page of a run, and yield what it costs after each tenth of the steps."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script(_FASTER % faster)
    page.goto(f"{server.address}/training?run={RUN}&charts=All")
    page.locator("svg.marks").first.wait_for()
    watched, seen = Watched(page, server), 0
    for _ in range(PARTS):
        run.train(steps // PARTS)
        watched.wait_for(run.step, looks // PARTS)
        sample = watched.sample(run.step, seen)
        seen = sample.looks
        yield sample
    page.close()


def growth(samples: Sequence[Sample], name: str) -> float:
    """How much larger a figure is at the end than in the middle, as a share: medians of three samples each."""
    values = np.array([getattr(sample, name) for sample in samples], dtype=np.float64)
    middle = len(values) // 2
    before, after = np.median(values[middle - 1 : middle + 2]), np.median(values[-3:])
    return float(after / before - 1)


def main() -> None:
    """Measure and print."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="spo-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'runs.db'}"
        run = LiveRun(url)
        run.train(given.before)
        with serve(url, port=0) as server, chromium() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            samples = list(watch(context, server, run, given.steps, given.looks, given.faster))
        run.close()
    _say(samples, given.json)


def _say(samples: Sequence[Sample], as_json: bool) -> None:
    grown = {name: round(growth(samples, name), 4) for name in ("nodes", "listeners", "heap_mb", "server_mb", "look_s")}
    if as_json:
        print(json.dumps({"samples": [asdict(sample) for sample in samples], "grows": grown}, indent=1))
        return
    names = list(asdict(samples[0]))
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for sample in samples:
        print(f"| {' | '.join(str(value) for value in asdict(sample).values())} |")
    print("grows: " + ", ".join(f"{name} {share:+.1%}" for name, share in grown.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dashboard.week",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--before", type=int, default=400)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--looks", type=int, default=300)
    parser.add_argument("--faster", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
