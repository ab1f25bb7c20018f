"""What is simulated, and its rows: a row a way, in `benchmarks/results/throughput_simulated.json`."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.throughput.order_statistics import sigma_of
from verl_spo.simulation.collecting import Rest, Setting, Way
from verl_spo.simulation.durations import Bimodal, Durations, Lognormal, Pareto
from verl_spo.simulation.sessions import Sessions
from verl_spo.simulation.throughput import Estimate, Result, compare

RESULTS = Path(__file__).parents[1] / "results" / "throughput_simulated.json"
PUBLISHED = 4.35
SEEDS, BATCHES = 10, 20
MEAN = 60.0
SIGMAS = (0.0, 0.25, 0.5, 0.8, 1.0, 1.5)
SHAPES: dict[str, Durations] = {
    **{f"lognormal, sigma {sigma:g}": Lognormal(MEAN, sigma) for sigma in SIGMAS},
    **{f"Pareto, alpha {alpha:g}": Pareto(MEAN, alpha) for alpha in (3.0, 2.1, 1.5)},
    **{
        f"bimodal, {slow:.0%} take {factor:g} times as long": Bimodal(MEAN, slow, factor)
        for slow, factor in ((0.1, 3.0), (0.1, 10.0), (0.02, 10.0))
    },
}
# Where updates take no time, what is kept or goes on takes as long as in continuous collection.
GROUPS, GROUPS_FIRST, GROUPS_ON = (Way(True, rest) for rest in (Rest.NONE, Rest.ABORTED, Rest.CONTINUOUS))
SINGLE, SINGLE_FIRST, SINGLE_ON = (Way(False, rest) for rest in (Rest.NONE, Rest.ABORTED, Rest.CONTINUOUS))
FOUR = (GROUPS_FIRST, GROUPS_ON, SINGLE_FIRST, SINGLE_ON)


@dataclass(frozen=True)
class Case:
    """One simulation: a study's name, its label in there, and what is simulated."""

    study: str
    label: str
    setting: Setting
    sessions: Sessions
    ways: Sequence[Way]
    batches: int = BATCHES


@dataclass(frozen=True)
class Row:
    """What one way came to.

    Attributes:
        study: Name of the study.
        label: Of the case, unique in its study with its setting.
        setting: Of the simulation.
        way: The way's name.
        figures: Each estimate of `Result`: mean, lower and upper end.
    """

    study: str
    label: str
    setting: Setting
    way: str
    figures: dict[str, Estimate]


def cases() -> Iterator[Case]:
    """All that is simulated."""
    published = Setting(batch=24, group=8, slots=48)
    for sigma in sorted({*SIGMAS, round(sigma_of(PUBLISHED, batch=24, over=1), 3)}):
        for slots in (48, 24):
            sessions = Sessions(Lognormal(MEAN, sigma))
            setting, ways = replace(published, slots=slots), (GROUPS, *FOUR, SINGLE)
            yield Case("published", f"{sigma:g}", setting, sessions, ways, batches=100)
    for label, durations in SHAPES.items():
        for group in (4, 8, 16):
            for slots in (24, 48, 96):
                # Groups do not matter to single-stream ways.
                some = FOUR if group == 4 else FOUR[:2]
                yield Case("map", label, Setting(48, group, slots), Sessions(durations), some)
    usual = Setting(batch=48, group=8, slots=48)
    for staleness in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0):
        setting = replace(usual, staleness=staleness)
        yield Case("staleness", f"{staleness:g}", setting, Sessions(Lognormal(MEAN, 0.8)), (GROUPS_ON, SINGLE_ON))
    for update in (0.0, 15.0, 30.0, 60.0):
        partial = (Way(True, Rest.PARTIAL), GROUPS_ON, Way(False, Rest.PARTIAL), SINGLE_ON)
        setting = replace(usual, update=update)
        yield Case("update", f"{update:g}", setting, Sessions(Lognormal(MEAN, 0.8)), (GROUPS, *partial))
    for limit in (math.inf, 5 * MEAN, 3 * MEAN, 2 * MEAN):
        label = "none" if math.isinf(limit) else f"{limit:g} s"
        yield Case("limit", label, usual, Sessions(Lognormal(MEAN, 0.8), limit=limit), (GROUPS, *FOUR))
    for failures in (0.0, 0.1, 0.3):
        yield Case(
            "failures", f"{failures:.0%}", usual, Sessions(Lognormal(MEAN, 0.8), failures=failures), (GROUPS, *FOUR)
        )


def simulate(case: Case, seeds: int = SEEDS) -> list[Row]:
    """The rows of one case."""
    return [
        Row(case.study, case.label, case.setting, str(result.way), _figures(result))
        for result in compare(case.setting, case.sessions, case.batches, seeds, case.ways)
    ]


def save(rows: Sequence[Row], path: Path = RESULTS) -> None:
    """Write rows, one a line."""
    path.write_text("[\n" + ",\n".join(json.dumps(_plain(row)) for row in rows) + "\n]\n")


def load(path: Path = RESULTS) -> list[Row]:
    """Read what `save` wrote."""
    return [
        Row(**{**row, "setting": Setting(**row["setting"]), "figures": _estimates(row["figures"])})
        for row in json.loads(path.read_text())
    ]


def _figures(result: Result) -> dict[str, Estimate]:
    return {each.name: getattr(result, each.name) for each in fields(Result) if each.name != "way"}


def _plain(row: Row) -> dict[str, Any]:
    figures = {
        name: [float(f"{end:.5g}") for end in (value.mean, value.low, value.high)]
        for name, value in row.figures.items()
    }
    return {**asdict(row), "figures": figures}


def _estimates(figures: dict[str, list[float]]) -> dict[str, Estimate]:
    return {name: Estimate(*ends) for name, ends in figures.items()}
