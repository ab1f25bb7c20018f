"""Which charts the page on difficulty has, and what is in them."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np

from verl_spo.core.difficulty import MOSTLY_ABOVE, RARELY_BELOW, Difficulty
from verl_spo.store.queries import RunRow
from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard import charts
from verl_spo_dashboard.chart import Chart, Numbers
from verl_spo_dashboard.charts import Line, Titles
from verl_spo_dashboard.data import Curves
from verl_spo_dashboard.difficulty_data import N_EFF_EDGES, VISITS_EDGES, Read
from verl_spo_dashboard.panels import every_point

CLASSES = {
    Difficulty.UNVISITED: "not visited yet",
    Difficulty.RARELY: "rarely solved (v̂ < 0.2)",
    Difficulty.SOMETIMES: "sometimes: the frontier",
    Difficulty.MOSTLY: "mostly solved (v̂ > 0.8)",
}
"""The classes in words."""

FILTER_OF = {
    Difficulty.UNVISITED: {"visits_to": "0"},
    Difficulty.RARELY: {"visits_from": "1", "value_to": f"{RARELY_BELOW:g}"},
    Difficulty.SOMETIMES: {"visits_from": "1", "value_from": f"{RARELY_BELOW:g}", "value_to": f"{MOSTLY_ABOVE:g}"},
    Difficulty.MOSTLY: {"visits_from": "1", "value_from": f"{MOSTLY_ABOVE:g}"},
}
"""What the address of the Prompts page says for the prompts of a class."""

_SHORT = {Difficulty.RARELY: "rarely", Difficulty.SOMETIMES: "sometimes", Difficulty.MOSTLY: "mostly"}

TROUBLES = {
    "spo/draw_called_back": "called back",
    "spo/pool/resting": "passed over",
    "spo/failed": "failing",
}
"""Metrics of prompts that were not drawn, or brought nothing."""

HISTOGRAM, SOURCES = "histogram", "sources"
"""Beginnings of the keys of charts that lead to the Prompts page."""

_WINDOWS = 50


def values(runs: Sequence[RunRow], reads: Sequence[Read]) -> list[Chart]:
    """Each run's histogram of v_hat now."""
    drawn = []
    for run, read in zip(runs, reads, strict=True):
        if read.now is None or not read.now.value_histogram:
            continue
        counts = np.array(read.now.value_histogram, dtype=np.int64)
        words = run.name if len(runs) > 1 else "Prompts by estimated success rate (v̂); click a bar to see them"
        titles = Titles("Value now", words, "share of the pool")
        spec = charts.histogram(_shares(counts), counts, titles, clicks=True)
        drawn.append(Chart(f"{HISTOGRAM}-{run.id}", spec, clicks=True, run=run.name))
    return drawn


def flow(run: RunRow, read: Read) -> list[Chart]:
    """How prompts went from class to class."""
    steps, counts = read.classes()
    drawn = []
    if steps.size:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        parts = {name: 100 * shares[:, place] for place, name in CLASSES.items()}
        titles = Titles("Classes", "Share of the pool in each class of difficulty, after each step", "% of the pool")
        spec = charts.stacked(steps.astype(np.float64), parts, titles)
        numbers = partial(_counts, steps, counts)
        drawn.append(Chart(f"classes-{run.id}", spec, numbers=numbers, run=run.name))
    first, last, made = read.moves(_WINDOWS)
    if any(counts.any() for counts in made.values()):
        easier, harder = (
            {f"{_SHORT[old]} → {_SHORT[new]}": counts for (old, new), counts in made.items() if (new > old) == up}
            for up in (True, False)
        )
        titles = Titles(
            "Moves",
            f"Upwards easier, downwards harder, without first visits; steps {first[0]:,} to {last[-1]:,}",
            "prompts",
        )
        drawn.append(Chart(f"moves-{run.id}", charts.moves(first, last, easier, harder, titles), run=run.name))
    return drawn


def pool(run: RunRow, read: Read) -> list[Chart]:
    """The pool now: by source, evidence and visits."""
    drawn = []
    if read.by_source:
        titles = Titles("Data sources", "Each one's prompts by class; click a part to see them", "share of the source")
        spec = charts.compositions(read.by_source, list(CLASSES.values()), titles)
        drawn.append(Chart(f"{SOURCES}-{run.id}", spec, clicks=True, run=run.name))
    titles = Titles("Evidence", "Prompts by the evidence behind v̂ (N_eff), faded with age", "share of the pool")
    spec = charts.columns(_names(N_EFF_EDGES), read.n_eff, titles, "observations")
    drawn.append(Chart(f"n_eff-{run.id}", spec, run=run.name))
    titles = Titles("Visits", "Prompts by how many trajectories they have had", "share of the pool")
    spec = charts.columns(_whole_names(VISITS_EDGES), read.visits, titles, "visits")
    return [*drawn, Chart(f"visits-{run.id}", spec, run=run.name)]


def draws(run: RunRow, read: Read) -> list[Chart]:
    """Where the sampler spends its draws, and what came of them."""
    found = read.outcomes
    if found is None or not found.steps.size:
        return []
    first, last = found.ends
    when = f"steps {first:,} to {last:,}"
    counts = found.draws().counts
    titles = Titles("Draws", f"By v̂ at dispatch, {when}; the line: uniform draws", "share of the draws")
    outline = read.pool_meanwhile()
    spec = charts.histogram(_shares(counts), counts, titles, outline if outline.size == counts.size else None)
    titles = Titles("Calibration", f"Reward by v̂ at dispatch (95 %), {when}", "mean reward")
    return [
        Chart(f"draws-{run.id}", spec, run=run.name),
        Chart(f"calibration-{run.id}", charts.calibration(found.calibration(), titles), run=run.name),
    ]


def troubles(runs: Sequence[RunRow], curves: Curves) -> list[Chart]:
    """Prompts called back, passed over, failing."""
    names = TROUBLES if len(runs) == 1 else {"spo/failed": "failing"}
    found = [Line(run.name, part, *curves.points(run.id, name)) for run in runs for name, part in names.items()]
    shown = [line for line in found if np.isfinite(line.values).any()]
    if not shown:
        return []
    words = "For want of others; resting; without a trajectory"
    titles = Titles("Called back, passed over, failing", words, "prompts per step")
    spec = charts.lines(shown, titles, runs=[run.name for run in runs])
    return [Chart("troubles", spec, numbers=partial(every_point, shown, titles))]


def _counts(steps: IntArray, counts: IntArray) -> Numbers:
    """Prompts in each class, a row a step."""
    return {"step": steps, **{name: counts[:, place] for place, name in CLASSES.items()}}


def _shares(counts: IntArray) -> FloatArray:
    shares: FloatArray = counts / max(int(counts.sum()), 1)
    return shares


def _names(edges: Sequence[float]) -> list[str]:
    inner = [f"{low:g}–{high:g}" for low, high in pairwise(edges[:-1])]
    return [*inner, f"{edges[-2]:g}+"]


def _whole_names(edges: Sequence[float]) -> list[str]:
    """As `_names`, of whole numbers: the upper edge is not in a bin."""
    inner = [f"{low:g}" if high - low == 1 else f"{low:g}–{high - 1:g}" for low, high in pairwise(edges[:-1])]
    return [*inner, f"{edges[-2]:g}+"]
