"""`verl-spo simulate`: what could be gained in time, without training anything."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verl_spo.cli.app import App
from verl_spo.cli.database import DEFAULT_DB, Db, Json, print_json, print_table
from verl_spo.cli.extras import require
from verl_spo.cli.terminal import say
from verl_spo.errors import ConfigError
from verl_spo.store import open_reader

if TYPE_CHECKING:
    from verl_spo.simulation.durations import Durations
    from verl_spo.simulation.throughput import Estimate, Result

app = App(help="Simulate what ways to collect trajectories come to; nothing is trained.", no_args_is_help=True)


# With a single command, typer would leave out its name.
@app.callback()
def _group() -> None:
    """Simulate what ways to collect trajectories come to; nothing is trained."""


class Shape(StrEnum):
    """How durations of sessions are spread."""

    LOGNORMAL = "lognormal"
    PARETO = "pareto"
    BIMODAL = "bimodal"
    CONSTANT = "constant"


class Failed(StrEnum):
    """What follows a failure."""

    RETRIED = "retried"
    LOST = "lost"


@app.command()
def throughput(
    batch: Annotated[int, typer.Option(min=1, help="Trajectories that one update takes.")] = 24,
    group: Annotated[int, typer.Option(min=1, help="Trajectories of one group; must divide --batch.")] = 8,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Sessions that run at a time; by default as many as may be open.")
    ] = None,
    over: Annotated[
        float, typer.Option(min=0, max=100, help="Share of a batch started beyond it, by ways that take the first.")
    ] = 1.0,
    staleness: Annotated[
        float, typer.Option(min=0, max=100, help="The same of continuous ways: verl's staleness_threshold.")
    ] = 1.0,
    update: Annotated[float, typer.Option(min=0, help="Seconds of an update, weight sync included.")] = 0.0,
    durations: Annotated[Shape, typer.Option(help="How the seconds of sessions are spread.")] = Shape.LOGNORMAL,
    mean: Annotated[float, typer.Option(min=1e-6, help="Mean seconds of a session.")] = 60.0,
    sigma: Annotated[float, typer.Option(min=0, max=5, help="lognormal: deviation of the logarithm.")] = 0.8,
    alpha: Annotated[float, typer.Option(min=1.01, help="pareto: exponent of the tail; infinite variance to 2.")] = 2.5,
    slow: Annotated[float, typer.Option(min=0, max=1, help="bimodal: share of slow sessions.")] = 0.1,
    factor: Annotated[float, typer.Option(min=1, help="bimodal: how many times as long these take.")] = 10.0,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Draw from the seconds of this run's stored sessions instead.")
    ] = None,
    failures: Annotated[
        float, typer.Option(min=0, max=0.95, help="Probability that an attempt at a session fails.")
    ] = 0.0,
    failed: Annotated[
        Failed, typer.Option(help="Whether it is tried again, or its batch goes without it.")
    ] = Failed.RETRIED,
    limit: Annotated[
        float | None, typer.Option(min=1e-6, help="Seconds at which sessions are cut off, and trained on as they are.")
    ] = None,
    batches: Annotated[int, typer.Option(min=1, help="Batches per seed, after ten others that do not count.")] = 30,
    seeds: Annotated[int, typer.Option(min=2, help="Repetitions; intervals are over these.")] = 10,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw the figures into this file.")] = None,
    db: Db = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """Compare ways to collect batches: in groups or single-stream, waiting for all or taking the first.

    Times are wall-clock, shares are of slot time or of work in slot-seconds, staleness is in updates.
    """
    require("simulate", *(["report"] if plot else []))
    from verl_spo.simulation.collecting import WAYS, Setting
    from verl_spo.simulation.sessions import Sessions
    from verl_spo.simulation.throughput import compare

    if batch % group:
        raise ConfigError(f"--batch {batch} --group {group}: a batch must be whole groups; choose a multiple")
    if plot and plot.suffix != ".svg":
        raise ConfigError(f"--plot {plot}: draws an SVG; name the file with .svg at its end")
    spread = _of_run(db, run) if run else _of_shape(durations, mean, sigma, alpha, slow, factor)
    setting = Setting(batch, group, 1, over, staleness, update)
    setting = replace(setting, slots=slots or max(map(setting.sessions, WAYS)))
    sessions = Sessions(spread, failures, failed is Failed.RETRIED, limit or math.inf)
    results = compare(setting, sessions, batches, seeds)
    if plot:
        from verl_spo.simulation.plots import chart

        chart(results).save(plot)
    if as_json:
        print_json(
            {
                "durations": str(spread),
                "setting": asdict(setting),
                "failures": failures,
                "failed": failed,
                "limit": limit,
                "batches": batches,
                "seeds": seeds,
                "results": [{**asdict(each), "way": str(each.way)} for each in results],
            }
        )
        return
    _show(results, [str(spread), f"{setting.slots} slots", f"{seeds} seeds of {batches} batches of {batch}"])


def _of_run(db: str, run: str) -> "Durations":
    from verl_spo.simulation.durations import of_run

    with open_reader(db) as reader:
        return of_run(reader, run)


def _of_shape(shape: Shape, mean: float, sigma: float, alpha: float, slow: float, factor: float) -> "Durations":
    from verl_spo.simulation.durations import Bimodal, Constant, Lognormal, Pareto

    match shape:
        case Shape.LOGNORMAL:
            return Lognormal(mean, sigma)
        case Shape.PARETO:
            return Pareto(mean, alpha)
        case Shape.BIMODAL:
            return Bimodal(mean, slow, factor)
        case Shape.CONSTANT:
            return Constant(mean)


def _show(results: Sequence["Result"], heading: Sequence[str]) -> None:
    say("; ".join(heading))
    columns = (
        "way",
        "seconds per batch",
        "times as fast",
        "idle",
        "wasted",
        "failed",
        "staleness",
        "most",
        "old",
        "length",
        "cut off",
    )
    rows = [
        (
            each.way,
            _number(each.seconds, 1),
            _number(each.ratio, 2),
            *map(_percent, (each.idle, each.wasted, each.failed)),
            _number(each.staleness, 2),
            f"{each.most_stale.mean:.0f}",
            _percent(each.old),
            _number(each.length, 2),
            _percent(each.cut),
        )
        for each in results
    ]
    print_table(columns, rows, whole=columns[1:])
    say("95 % intervals over seeds; length: mean duration of what is trained on, 1 without a preference for short ones")


def _number(value: "Estimate", digits: int) -> str:
    return f"{value.mean:.{digits}f} ± {value.half:.{digits}f}"


def _percent(value: "Estimate") -> str:
    return f"{abs(value.mean):.0%}"
