"""How often the 95 % intervals of `verl_spo.evaluation.intervals` cover the truth, beside scipy's BCa bootstrap.

    python -m benchmarks.coverage [--json] [--replications 1000] [--resamples 999]

Simulated: problems with success rates from a beta distribution, 32 samples each. Wrong samples fall into 8 classes, as
unevenly as Dirichlet(0.3) makes them. The second run of a difference has a success rate from a beta distribution around
0.03 + 0.95 * that of the first (its two parameters add up to 8). The truth is the mean over 400,000 problems.

A row per distribution, figure and number of problems, shares in percent: `ours` and `bca` cover the truth; `width` is
the median of ours, low to high. Where nothing varies, BCa has no interval: such draws count as missed, `undefined` is
their share. With 1000 replications a share of 95 has a standard error of 0.7.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

from verl_spo.evaluation.intervals import Interval, difference_interval, mean_interval
from verl_spo.evaluation.samples import FloatArray

SAMPLES, WRONG_CLASSES = 32, 8
# Beta distributions of success rates. Real sets are U-shaped: most problems are solved nearly always or nearly never.
SETTINGS = {
    "middling": (2.0, 2.0),
    "U-shaped": (0.3, 0.3),
    "U-shaped, mean 0.6": (0.4, 0.27),
    "hard": (0.2, 0.8),
    "nearly all wrong": (0.1, 0.9),
    "nearly all right": (0.9, 0.1),
}
SIZES = ((30,), (100,), (30, 30, 100, 30, 30))
_TRUTH, _AT_ONCE = 400_000, 100

Generator = np.random.Generator
Pair = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Row:
    """Coverage in percent, by the docstring of this module."""

    setting: str
    case: str
    problems: str
    truth: float
    ours: float
    bca: float
    undefined: float
    width: float


def average(rates: FloatArray, rng: Generator) -> FloatArray:
    """avg@32 of problems with these success rates."""
    scores: FloatArray = rng.binomial(SAMPLES, rates) / SAMPLES
    return scores


def majority(rates: FloatArray, rng: Generator) -> FloatArray:
    """maj@32 likewise."""
    wrong = rng.dirichlet(np.full(WRONG_CLASSES, 0.3), size=rates.shape) * (1 - rates)[..., None]
    counts = rng.multinomial(SAMPLES, np.concatenate([rates[..., None], wrong], axis=-1))
    winners = counts == counts.max(axis=-1, keepdims=True)
    credit: FloatArray = winners[..., 0] / winners.sum(axis=-1)
    return credit


MEASURES = {"avg@32": average, "maj@32": majority}
CASES = (*MEASURES, *(f"difference of {name}" for name in MEASURES))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=999)
    given = parser.parse_args()
    rows = [
        covered(setting, case, problems, given.replications, given.resamples)
        for case in CASES
        for problems in SIZES
        for setting in SETTINGS
    ]
    print(json.dumps([asdict(row) for row in rows], indent=1) if given.json else table(rows))


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [list(asdict(rows[0])), ["---"] * 3 + ["---:"] * 5]
    lines += [[str(value) for value in asdict(row).values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def covered(setting: str, case: str, problems: Sequence[int], replications: int, resamples: int) -> Row:
    """Draw sets of so many problems again and again; without `resamples` BCa is left out."""
    rng = np.random.default_rng([*case.encode(), *setting.encode(), *problems])
    measure, paired = MEASURES[case.removeprefix("difference of ")], case not in MEASURES
    before, after = _draw(measure, setting, (_TRUTH,), rng)
    truth = float((after - before if paired else before).mean())
    found: list[Interval] = []
    theirs: list[FloatArray] = []
    for start in range(0, replications, _AT_ONCE):
        count = min(_AT_ONCE, replications - start)
        sets = [_draw(measure, setting, (count, size), rng) for size in problems]
        found += [_ours(sets, draw, paired) for draw in range(count)]
        if resamples:
            theirs.append(_bca([b - a if paired else a for a, b in sets], resamples, rng))
    bounds = np.concatenate(theirs, axis=1) if theirs else np.full((2, replications), np.nan)
    return Row(
        setting=setting,
        case=case,
        problems=" + ".join(map(str, problems)),
        truth=round(truth, 4),
        ours=_percent(np.array([each.low <= truth <= each.high for each in found])),
        bca=_percent((bounds[0] <= truth) & (truth <= bounds[1])),
        undefined=_percent(np.isnan(bounds).any(axis=0)),
        width=round(200 * float(np.median([each.half_width for each in found])), 1),
    )


def _draw(
    measure: Callable[[FloatArray, Generator], FloatArray], setting: str, shape: tuple[int, ...], rng: Generator
) -> Pair:
    """Figures of the same problems in two runs."""
    rates = rng.beta(*SETTINGS[setting], size=shape)
    middle = 0.03 + 0.95 * rates
    return measure(rates, rng), measure(rng.beta(8 * middle, 8 * (1 - middle)), rng)


def _ours(sets: Sequence[Pair], draw: int, paired: bool) -> Interval:
    before, after = ([pair[side][draw] for pair in sets] for side in (0, 1))
    return difference_interval(before, after) if paired else mean_interval(before)


def _bca(sets: Sequence[FloatArray], resamples: int, rng: Generator) -> FloatArray:
    """Bounds for many draws at once, (2, draws)."""

    def mean_of_means(*values: FloatArray, axis: int) -> FloatArray:
        total: FloatArray = np.mean([each.mean(axis=axis) for each in values], axis=0)
        return total

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(sets, mean_of_means, n_resamples=resamples, vectorized=True, axis=-1, rng=rng)
    return np.array(found.confidence_interval)


def _percent(hits: np.ndarray) -> float:
    return round(100 * float(hits.mean()), 1)


if __name__ == "__main__":
    main()
