"""Which charts a run has, and what is in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from verl_spo.store.queries import RunRow
from verl_spo_dashboard import charts
from verl_spo_dashboard.charts import Line, Titles
from verl_spo_dashboard.data import Curves, Distributions

VALIDATION = "val-core/"
"""Prefix of verl's names of validation metrics."""


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


PANELS = (
    Panel(Titles("Reward", "Mean of the step's trajectories", "reward"), {"spo/reward": ""}),
    Panel(
        Titles("Value", "Mean v̂: over the pool, and of the prompts drawn", "v̂"),
        {"spo/pool/value": "pool", "spo/p_hats": "drawn"},
    ),
    Panel(Titles("Entropy", "Of the policy (actor/entropy)", "nats per token"), {"actor/entropy": ""}),
    Panel(Titles("KL", "From the policy that answered (actor/ppo_kl)", "nats per token"), {"actor/ppo_kl": ""}),
    Panel(
        Titles("Policy change", "Since a prompt's last visit (spo/D), or by the update (spo/drift)", "nats per token"),
        {"spo/D": "since last visit", "spo/drift": "by the update"},
        all_parts=True,
    ),
    Panel(
        Titles("Time", "Of a step and its parts (timing_s)", "seconds"),
        {
            f"timing_s/{part}": part.replace("_", " ")
            for part in (
                "step", "gen", "update_actor", "old_log_prob", "update_weights", "spo_rescore"
            )
        },
    ),
)  # fmt: skip


def metrics() -> list[str]:
    """Names of the metrics in the charts, but for those of validation, which depend on the data."""
    return [name for panel in PANELS for name in panel.metrics]


def of_curves(runs: Sequence[RunRow], curves: Curves, weight: float) -> list[Chart]:
    """Charts of the metrics that any of the runs has; `weight` is of the past, in smoothing."""
    validation = Panel(
        Titles("Validation", "Accuracy on prompts held out (val-core)", "accuracy"),
        {name: name.removeprefix(VALIDATION) for name in curves.names if name.startswith(VALIDATION)},
        smoothed=False,
        all_parts=True,
    )
    names = [run.name for run in runs]
    return [
        Chart(
            f"chart-{panel.titles.title}", charts.lines(lines, panel.titles, weight if panel.smoothed else 0.0, names)
        )
        for panel in (PANELS[0], validation, *PANELS[1:])
        if (lines := _lines(panel, runs, curves))
    ]


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


def _lines(panel: Panel, runs: Sequence[RunRow], curves: Curves) -> list[Line]:
    metrics = panel.metrics if len(runs) == 1 or panel.all_parts else dict(list(panel.metrics.items())[:1])
    lines = [Line(run.name, part, *curves.points(run.id, name)) for run in runs for name, part in metrics.items()]
    return [line for line in lines if np.isfinite(line.values).any()]
