"""Which charts the training page has, and what is in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verl_spo.store.queries import RunRow
from verl_spo.store.records import FloatArray, IntArray
from verl_spo_dashboard import charts
from verl_spo_dashboard.charts import HOURS, STEP, TRAJECTORIES, Axis, Line, Look, Titles
from verl_spo_dashboard.data import Curves, Distributions, Places
from verl_spo_dashboard.overview import VALIDATION
from verl_spo_dashboard.series import means, thin

AXES = {"Step": STEP, "Trajectories": TRAJECTORIES, "Hours": HOURS}
"""What the horizontal axis may count, by the page's words for it."""


@dataclass(frozen=True)
class Panel:
    """A chart: its words, and the metrics in it. Several runs share the first metric alone, unless `all_parts`."""

    titles: Titles
    metrics: dict[str, str]
    smoothed: bool = True
    all_parts: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart in its place: Streamlit's key for it, what it is, and how many columns it takes."""

    key: str
    spec: charts.Spec
    width: int = 1
    clicks: bool = False


PANELS = (
    Panel(Titles("Reward", "Mean of the step's trajectories", "reward"), {"spo/reward": ""}),
    Panel(
        Titles("Value", "Mean estimated success rate (v̂)", "v̂"),
        {"spo/pool/value": "pool", "spo/p_hats": "drawn"},
    ),
    Panel(
        Titles("Explained variance", "Share of the rewards' variance that the baseline (v̂) foresaw", "share"),
        {"spo/explained_variance": ""},
    ),
    Panel(Titles("Entropy", "Of the policy (actor/entropy)", "nats per token"), {"actor/entropy": ""}),
    Panel(Titles("KL", "From the policy that answered (actor/ppo_kl)", "nats per token"), {"actor/ppo_kl": ""}),
    Panel(
        Titles("Clip fraction", "Share of tokens whose gradient PPO's clip cuts off", "share"),
        {"actor/pg_clipfrac": "clip", "actor/pg_clipfrac_lower": "dual clip"},
    ),
    Panel(
        Titles("Policy change", "Since a prompt's last visit (spo/D), or by the update (spo/drift)", "nats per token"),
        {"spo/D": "since last visit", "spo/drift": "by the update"},
        all_parts=True,
    ),
    Panel(
        Titles("Evidence kept", "Of a prompt's earlier outcomes (spo/rho); the rest is forgotten", "share"),
        {"spo/rho": "evidence", "spo/known": "previous responses"},
    ),
    Panel(
        Titles("No signal", "Share of trajectories whose advantage is 0", "share"),
        {"spo/no_signal": ""},
    ),
    Panel(
        Titles("Response length", "Tokens that the model generated", "tokens"),
        {"response_length/mean": "mean", "response_length/max": "longest"},
    ),
    Panel(Titles("Gradient norm", "Before it is clipped (actor/grad_norm)", "norm"), {"actor/grad_norm": ""}),
    Panel(
        Titles("Staleness", "Policy versions that a trajectory is behind, in asynchronous modes", "versions"),
        {
            "training/off_policy/trajectory_staleness/mean": "mean",
            "training/off_policy/trajectory_staleness_worst/max": "worst",
        },
    ),
    Panel(Titles("Throughput", "Tokens per second and GPU (perf/throughput)", "tokens/s"), {"perf/throughput": ""}),
    Panel(
        Titles("Writer's queue", "Records that wait for the database; a step makes two or three", "records"),
        {"spo/store/queue_depth": ""},
        smoothed=False,
    ),
)

PHASES = {
    "gen": "rollouts (or wait)",
    "reward": "reward",
    "old_log_prob": "log-probs",
    "ref": "reference log-probs",
    "spo_rescore": "re-scoring (kl)",
    "adv": "advantages",
    "update_actor": "update",
    "update_weights": "weight sync",
    "switch_wait": "waiting to switch",
    "switch_to_trainer": "switch to training",
    "switch_to_rollout": "switch to rollouts",
    "save_checkpoint": "checkpoint",
    "testing": "validation",
}
"""The parts of a step that follow one another, by verl's names (timing_s/...), in their order."""

REST = "rest (idle)"
WHOLE_STEP = "timing_s/step"


def metrics() -> list[str]:
    """Names of the metrics in the charts, but for those of validation, which depend on the data."""
    return [*(name for panel in PANELS for name in panel.metrics), WHOLE_STEP, *(f"timing_s/{name}" for name in PHASES)]


@dataclass(frozen=True)
class Drawing:
    """All that the charts of a page share: runs, what was read of them, and how they are drawn."""

    runs: Sequence[RunRow]
    curves: Curves
    places: Places
    look: Look

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


def of_curves(drawing: Drawing, more: Sequence[str] = ()) -> list[Chart]:
    """Charts of the metrics that any of the runs has; `more` are names of others that the reader asked for."""
    validation = Panel(
        Titles("Validation", "Accuracy on prompts held out (val-core)", "accuracy"),
        {name: name.removeprefix(VALIDATION) for name in drawing.curves.names if name.startswith(VALIDATION)},
        smoothed=False,
        all_parts=True,
    )
    asked = [Panel(Titles(name, "As verl or SPO logged it", ""), {name: ""}) for name in more]
    return [
        _chart(panel, lines, drawing)
        for panel in (PANELS[0], validation, *PANELS[1:], *asked)
        if (lines := _lines(panel, drawing))
    ]


def of_time(drawing: Drawing) -> list[Chart]:
    """Of the page's first run, what a step's time is made of."""
    run = drawing.runs[0]
    steps, whole = drawing.curves.points(run.id, WHOLE_STEP)
    if not np.isfinite(whole).any():
        return []
    parts = phases(drawing.curves, run)
    kept = thin(steps.size)
    x = drawing.x(run, steps)
    if x is not None and not np.isfinite(x).all():
        return []
    titles = Titles("Time", "Of a step, by phase (timing_s); asynchronous modes wait for rollouts", "seconds per step")
    spec = charts.stacked(
        steps[kept].astype(np.float64),
        {name: means(values, kept) for name, values in parts.items()},
        titles if len(drawing.runs) == 1 else replace(titles, subtitle=run.name),
        drawing.look.axis,
        None if x is None else x[kept],
    )
    return [Chart("chart-time", spec, width=2)]


def phases(curves: Curves, run: RunRow) -> dict[str, FloatArray]:
    """Seconds of every step by phase, (steps,) each, those that never took any left out, and what no phase has."""
    steps, whole = curves.points(run.id, WHOLE_STEP)
    found = {}
    for name, words in PHASES.items():
        values = _at(steps, *curves.points(run.id, f"timing_s/{name}"))
        if values.any():
            found[words] = values
    rest = np.nan_to_num(whole) - np.sum([*found.values(), np.zeros(steps.size)], axis=0)
    return {**found, REST: np.maximum(rest, 0.0)}


def of_distributions(runs: Sequence[RunRow], distributions: Distributions) -> list[Chart]:
    """Each run's distribution of v_hat over the pool."""
    drawn = []
    for run in runs:
        steps, shares = distributions.shares(run.id)
        if steps.size:
            of = run.name if len(runs) > 1 else "Share of the prompts by v̂, after each step; the line is the mean"
            spec = charts.heat_map(steps, shares, Titles("Value of the whole pool", of, "v̂"))
            drawn.append(Chart(f"pool-{run.id}", spec, width=1 if len(runs) > 1 else 2))
    return drawn


def _chart(panel: Panel, lines: Sequence[Line], drawing: Drawing) -> Chart:
    look = drawing.look if panel.smoothed else replace(drawing.look, weight=0.0)
    names = [run.name for run in drawing.runs]
    return Chart(f"chart-{panel.titles.title}", charts.lines(lines, panel.titles, look, names), clicks=look.clicks)


def _lines(panel: Panel, drawing: Drawing) -> list[Line]:
    alone = len(drawing.runs) == 1 or panel.all_parts
    shown = panel.metrics if alone else dict(list(panel.metrics.items())[:1])
    lines = [drawing.line(run, name, part) for run in drawing.runs for name, part in shown.items()]
    # How far a run was is not known before its first step has ended.
    return [line for line in lines if np.isfinite(line.values).any() and np.isfinite(line.places).all()]


def _at(steps: IntArray, known: IntArray, values: FloatArray) -> FloatArray:
    """Values at some steps, 0 at those that have none."""
    found = np.zeros(steps.size)
    _, here, there = np.intersect1d(steps, known, return_indices=True)
    found[here] = np.nan_to_num(values[there])
    return found
