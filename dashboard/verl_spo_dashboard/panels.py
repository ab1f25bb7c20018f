"""Which charts the training page has, and what is in them."""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from verl_spo.store.queries import RunRow
from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard import charts, phases
from verl_spo_dashboard.chart import Chart, Numbers
from verl_spo_dashboard.charts import HOURS, STEP, TRAJECTORIES, Axis, Line, Look, Titles
from verl_spo_dashboard.data import Curves, Distributions, Places
from verl_spo_dashboard.overview import VALIDATION
from verl_spo_dashboard.series import means, thin

AXES = {"Step": STEP, "Trajectories": TRAJECTORIES, "Hours": HOURS}
"""What the horizontal axis may count, by the page's words for it."""


LEARNING, POLICY, SPEED = GROUPS = ("Learning", "Policy", "Speed")
"""Charts that are looked at together. Fifteen at a time would be slow to draw, and long to scroll through."""

ALL = "All"
"""All groups together."""


@dataclass(frozen=True)
class Panel:
    """A chart: its words, and the metrics in it. Several runs share the first metric alone, unless `all_parts`."""

    group: str
    titles: Titles
    metrics: dict[str, str]
    smoothed: bool = True
    all_parts: bool = False


PANELS = (
    Panel(LEARNING, Titles("Reward", "Mean of the step's trajectories", "reward"), {"spo/reward": ""}),
    Panel(
        LEARNING,
        Titles("Value", "Mean estimated success rate (v̂)", "v̂"),
        {"spo/pool/value": "pool", "spo/p_hats": "drawn"},
    ),
    Panel(
        LEARNING,
        Titles("Explained variance", "Share of the rewards' variance that the baseline (v̂) foresaw", "share"),
        {"spo/explained_variance": ""},
    ),
    Panel(LEARNING, Titles("No signal", "Share of trajectories whose advantage is 0", "share"), {"spo/no_signal": ""}),
    Panel(
        LEARNING,
        Titles("Evidence kept", "Of a prompt's earlier outcomes (spo/rho); the rest is forgotten", "share"),
        {"spo/rho": "evidence", "spo/known": "previous responses"},
    ),
    Panel(POLICY, Titles("Entropy", "Of the policy (actor/entropy)", "nats per token"), {"actor/entropy": ""}),
    Panel(POLICY, Titles("KL", "From the policy that answered (actor/ppo_kl)", "nats per token"), {"actor/ppo_kl": ""}),
    Panel(
        POLICY,
        Titles("Clip fraction", "Share of tokens whose gradient PPO's clip cuts off", "share"),
        {"actor/pg_clipfrac": "clip", "actor/pg_clipfrac_lower": "dual clip"},
    ),
    Panel(
        POLICY,
        Titles("Policy change", "Since a prompt's last visit (spo/D), or by the update (spo/drift)", "nats per token"),
        {"spo/D": "since last visit", "spo/drift": "by the update"},
        all_parts=True,
    ),
    Panel(
        POLICY,
        Titles("Response length", "Tokens that the model generated", "tokens"),
        {"response_length/mean": "mean", "response_length/max": "longest"},
    ),
    Panel(POLICY, Titles("Gradient norm", "Before it is clipped (actor/grad_norm)", "norm"), {"actor/grad_norm": ""}),
    Panel(
        SPEED,
        Titles("Throughput", "Tokens per second and GPU (perf/throughput)", "tokens/s"),
        {"perf/throughput": ""},
    ),
    Panel(
        SPEED,
        Titles("Staleness", "Policy versions that a trajectory is behind, in asynchronous modes", "versions"),
        {
            "training/off_policy/trajectory_staleness/mean": "mean",
            "training/off_policy/trajectory_staleness_worst/max": "worst",
        },
    ),
    Panel(
        SPEED,
        Titles("Writer's queue", "Records that wait for the database; a step makes two or three", "records"),
        {"spo/store/queue_depth": ""},
        smoothed=False,
    ),
)


def metrics() -> list[str]:
    """Names of the metrics in the charts, but for those of validation, which depend on the data."""
    return [*(name for panel in PANELS for name in panel.metrics), *phases.metrics()]


@dataclass(frozen=True)
class Drawing:
    """All that the charts of a page share.

    Attributes:
        runs: Which they are of.
        curves: What was read of these.
        places: How far they were.
        look: How they are drawn.
        waiting: Ids of runs whose trainer has devices of its own, which idle while it waits for rollouts.
    """

    runs: Sequence[RunRow]
    curves: Curves
    places: Places
    look: Look
    waiting: Set[int] = frozenset()

    def line(self, run: RunRow, name: str, part: str) -> Line:
        """A metric of a run, where the horizontal axis has it."""
        steps, values = self.curves.points(run.id, name)
        return Line(run.name, part, steps, values, self.x(run, steps))

    def x(self, run: RunRow, steps: IntArray) -> FloatArray | None:
        """Where some steps stand; None where they stand at themselves."""
        place: dict[Axis, Callable[[int, IntArray], FloatArray]] = {
            TRAJECTORIES: self.places.trajectories,
            HOURS: self.places.hours,
        }
        return place[self.look.axis](run.id, steps) if self.look.axis in place else None


def of_group(drawing: Drawing, distributions: Distributions, group: str, more: Sequence[str] = ()) -> list[Chart]:
    """The charts of a group, or of `ALL`, and of metrics that the reader asked for besides, by their names."""
    drawn: list[Chart] = []
    if group in (LEARNING, ALL):
        drawn += [*of_curves(drawing, LEARNING), *of_distributions(drawing.runs, distributions)]
    if group in (POLICY, ALL):
        drawn += of_curves(drawing, POLICY)
    if group in (SPEED, ALL):
        drawn += [*of_time(drawing), *of_curves(drawing, SPEED)]
    asked = [Panel(ALL, Titles(name, "As verl or SPO logged it", ""), {name: ""}) for name in more]
    return [*drawn, *_charts(asked, drawing)]


def of_curves(drawing: Drawing, group: str) -> list[Chart]:
    """A group's charts of the metrics that any run has."""
    validation = Panel(
        LEARNING,
        Titles("Validation", "Accuracy on prompts held out (val-core)", "accuracy"),
        {name: name.removeprefix(VALIDATION) for name in drawing.curves.names if name.startswith(VALIDATION)},
        smoothed=False,
        all_parts=True,
    )
    return _charts([each for each in (PANELS[0], validation, *PANELS[1:]) if each.group == group], drawing)


def of_time(drawing: Drawing) -> list[Chart]:
    """Of the page's first run, what a step's time is made of."""
    run = drawing.runs[0]
    steps, parts = phases.of(drawing.curves, run.id, run.id in drawing.waiting)
    if not steps.size:
        return []
    kept = thin(steps.size)
    x = drawing.x(run, steps)
    if x is not None and not np.isfinite(x).all():
        return []
    titles = Titles("Time", "Of a step, by phase (timing_s)", "seconds per step")
    spec = charts.stacked(
        steps[kept].astype(np.float64),
        {name: means(values, kept) for name, values in parts.items()},
        titles if len(drawing.runs) == 1 else replace(titles, subtitle=run.name),
        drawing.look.axis,
        None if x is None else x[kept],
        until=steps[np.append(kept[1:], steps.size) - 1].astype(np.float64),
    )
    return [Chart("chart-time", spec, width=2, numbers=lambda: {"step": steps, **parts}, run=run.name)]


def of_distributions(runs: Sequence[RunRow], distributions: Distributions) -> list[Chart]:
    """Each run's distribution of v_hat over the pool."""
    drawn = []
    for run in runs:
        steps, shares = distributions.shares(run.id)
        if steps.size:
            of = run.name if len(runs) > 1 else "Share of the prompts by v̂, after each step; the line is the mean"
            spec = charts.heat_map(steps, shares, Titles("Value of the whole pool", of, "v̂"))
            width = 1 if len(runs) > 1 else 2
            drawn.append(Chart(f"pool-{run.id}", spec, width, numbers=partial(_spread, steps, shares), run=run.name))
    return drawn


def _charts(panels: Iterable[Panel], drawing: Drawing) -> list[Chart]:
    """Those of panels of which any run has something."""
    return [_chart(panel, lines, drawing) for panel in panels if (lines := _lines(panel, drawing))]


def _chart(panel: Panel, lines: Sequence[Line], drawing: Drawing) -> Chart:
    look = drawing.look if panel.smoothed else replace(drawing.look, weight=0.0)
    names = [run.name for run in drawing.runs]
    spec = charts.lines(lines, panel.titles, look, names)
    return Chart(
        f"chart-{panel.titles.title}", spec, clicks=look.clicks, numbers=partial(every_point, lines, panel.titles)
    )


def _lines(panel: Panel, drawing: Drawing) -> list[Line]:
    alone = len(drawing.runs) == 1 or panel.all_parts
    shown = panel.metrics if alone else dict(list(panel.metrics.items())[:1])
    lines = [drawing.line(run, name, part) for run in drawing.runs for name, part in shown.items()]
    # How far a run was is not known before its first step has ended.
    return [line for line in lines if np.isfinite(line.values).any() and np.isfinite(line.places).all()]


def every_point(lines: Sequence[Line], titles: Titles) -> Numbers:
    """Every point of some curves, a row each."""
    sizes = [line.steps.size for line in lines]
    return {
        "run": np.repeat([line.run for line in lines], sizes),
        "curve": np.repeat([line.part or titles.title for line in lines], sizes),
        "step": np.concatenate([line.steps for line in lines]),
        "value": np.concatenate([line.values for line in lines]),
    }


def _spread(steps: IntArray, shares: FloatArray) -> Numbers:
    """Shares of the pool, a row a step and a column for each bin of v_hat, by its lower end."""
    bins = shares.shape[1]
    return {"step": steps, **{f"v_hat from {place / bins:g}": shares[:, place] for place in range(bins)}}
