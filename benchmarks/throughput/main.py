"""What ways to collect batches are worth in time: simulated, and measured with sessions that wait for a tool.

python -m benchmarks.throughput run [--study NAME ...]    # ten minutes on one core
python -m benchmarks.throughput measure [--seeds 0 1 ...] # real verl and vLLM; runs that are there are skipped
python -m benchmarks.throughput tables                    # writes the tables and the plot of docs/throughput.md
"""

import argparse
import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

from benchmarks.documents import between_marks
from benchmarks.throughput import report, studies
from benchmarks.throughput.order_statistics import sigma_of
from benchmarks.throughput.real import results

DOCUMENT = Path(__file__).parents[2] / "docs" / "throughput.md"


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    names = list(dict.fromkeys(case.study for case in studies.cases()))
    simulated = commands.add_parser("run", help="simulate")
    simulated.add_argument("--study", nargs="*", choices=names, default=names, help="default: all")
    simulated.set_defaults(command=lambda given: run(given.study))
    measured = commands.add_parser("measure", help="train by real verl")
    measured.add_argument("--seeds", type=int, nargs="*", default=list(range(3)), help="default: 0 to 2")
    measured.set_defaults(command=lambda given: measure(given.seeds))
    tables = commands.add_parser("tables", help="write the tables and the plot")
    tables.set_defaults(command=lambda given: write_tables())
    given = parser.parse_args()
    given.command(given)


def run(names: Collection[str]) -> None:
    """Simulate some studies; their rows take the place of earlier ones."""
    rows = [row for row in studies.load() if row.study not in names] if studies.RESULTS.exists() else []
    for case in studies.cases():
        if case.study in names:
            rows += studies.simulate(case)
            print(f"{case.study}: {case.label}, {case.setting}", flush=True)
    studies.save(rows)


def measure(seeds: Sequence[int]) -> None:
    """Measure what is missing, all ways of a seed before the next seed."""
    # verl and torch, which nothing else here needs.
    from benchmarks.learning.main import DEFAULT_POOL, OUTPUTS, make_or_load_task, model_folder, prompt_files
    from benchmarks.learning.real.trial import Files
    from benchmarks.throughput.real import trial

    make_or_load_task(DEFAULT_POOL)
    rows = results.load()
    for seed, way in itertools.product(seeds, results.WAYS):
        if any((row.seed, row.way) == (seed, str(way)) for row in rows):
            continue
        folder = OUTPUTS / "verl" / f"waiting-{way.algorithm}-{way.mode}-{seed}"
        rows.append(trial.measure(way, seed, Files(model_folder(DEFAULT_POOL), prompt_files(DEFAULT_POOL), folder)))
        results.save(rows)
        print(rows[-1], flush=True)


def write_tables() -> None:
    """Put what the rows say between the marks of the document."""
    rows = studies.load()
    report.plot(rows).save(DOCUMENT.with_name("throughput-map.svg"))
    picture = "![How many times as fast as groups, by the spread of durations](throughput-map.svg)"
    texts = {
        "measured": results.report(results.load()),
        "published": report.published(rows),
        "sigmas": sigmas(),
        "plot": picture,
        **{f"map {slots}": report.whole_map(rows, slots) for slots in (24, 48, 96)},
        "staleness": report.staleness(rows),
        "update": report.by_way(rows, "update", "update, seconds", []),
        "limit": report.by_way(rows, "limit", "limit", ["cut"]),
        "failures": report.by_way(rows, "failures", "failures", ["failed"]),
    }
    document = DOCUMENT.read_text()
    for name, text in texts.items():
        document = between_marks(document, name, text)
    DOCUMENT.write_text(document)


def sigmas() -> str:
    """At which sigma the published ratio holds, by batch and over-provisioning."""
    lines = [
        [str(batch), str(round(batch * (1 + over))), f"{sigma_of(studies.PUBLISHED, batch, over):.2f}"]
        for batch, over in ((24, 0.25), (24, 0.5), (24, 1.0), (24, 3.0), (128, 1.0), (1024, 1.0))
    ]
    return report.table(["batch", "started", f"sigma at which the ratio is {studies.PUBLISHED}"], lines)
