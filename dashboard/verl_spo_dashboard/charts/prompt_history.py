"""One prompt over training steps."""

from collections.abc import Iterable

import pyarrow as pa

from verl_spo.core.interval import wilson_interval
from verl_spo.store.queries import ObservationRow
from verl_spo_dashboard.charts.spec import FROM_0_TO_1, Spec, Titles, chart, step_axis, tip, value_axis


def prompt_history(history: Iterable[ObservationRow], titles: Titles) -> Spec:
    """One prompt's rewards, v_hat after each, and its 90 % interval; superseded observations are crosses."""
    rows = sorted(history, key=lambda row: (row.step, row.attempt, row.seq))
    low, high = wilson_interval([row.value for row in rows], [row.alpha + row.beta for row in rows])
    visits = {
        "step": [row.step for row in rows],
        "reward": [row.reward for row in rows],
        "value": [row.value for row in rows],
        "low": low,
        "high": high,
        "superseded": [row.superseded for row in rows],
    }
    counting = [{"filter": "!datum.superseded"}]
    band = {
        "transform": counting,
        "mark": {"type": "area", "opacity": 0.18, "interpolate": "step-after", "tooltip": None},
        "encoding": {"y": value_axis("low", titles.axis, FROM_0_TO_1), "y2": {"field": "high"}},
    }
    values = {
        "transform": counting,
        "mark": {"type": "line", "strokeWidth": 2, "interpolate": "step-after", "tooltip": None},
        "encoding": {"y": value_axis("value", titles.axis, FROM_0_TO_1)},
    }
    shapes = {"domain": [False, True], "range": ["circle", "cross"]}
    rewards = {
        "mark": {"type": "point", "size": 55, "strokeWidth": 1.5},
        "encoding": {
            "y": value_axis("reward", titles.axis, FROM_0_TO_1),
            "shape": {"field": "superseded", "type": "nominal", "scale": shapes, "legend": None},
            "opacity": {"condition": {"test": "datum.superseded", "value": 0.5}, "value": 0.9},
            "tooltip": [
                tip("step", "step", "d"),
                tip("reward", "reward", ".3~f"),
                tip("value", "v̂ after it", ".3f"),
                tip("low", "90 % from", ".2f"),
                tip("high", "to", ".2f"),
                {"field": "superseded", "type": "nominal"},
            ],
        },
    }
    body = {"data": {"name": "visits"}, "encoding": {"x": step_axis()}, "layer": [band, values, rewards]}
    return chart(titles, {"visits": pa.table(visits)}, body)
