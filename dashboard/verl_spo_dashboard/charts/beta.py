"""What the tracker believes of one prompt, as a density."""

import math

import numpy as np
import pyarrow as pa

from verl_spo.store.queries import PromptRow
from verl_spo_dashboard.charts.spec import FROM_0_TO_1, Spec, Titles, chart, tip, value_axis

_POINTS = 201
_HEIGHT = 230


def beta(prompt: PromptRow, titles: Titles) -> Spec:
    """The Beta density of a prompt's success rate, from v_hat and its evidence; its 90 % interval is filled."""
    alpha, beta = prompt.value * prompt.n_eff, (1 - prompt.value) * prompt.n_eff
    # Between the ends, where a density of little evidence has no bound.
    rate = (np.arange(_POINTS) + 0.5) / _POINTS
    log = (alpha - 1) * np.log(rate) + (beta - 1) * np.log1p(-rate)
    density = np.exp(log - (math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)))
    table = pa.table({"rate": rate, "density": density, "inside": (rate >= prompt.low) & (rate <= prompt.high)})
    x = {
        "field": "rate",
        "type": "quantitative",
        "title": "success rate",
        "axis": {"format": ".1f", "titlePadding": 4, "tickCount": 6},
        "scale": FROM_0_TO_1,
    }
    y = value_axis("density", titles.axis, {"zero": True})
    inside = {
        "transform": [{"filter": "datum.inside"}],
        "mark": {"type": "area", "opacity": 0.25, "tooltip": None},
        "encoding": {"y": y},
    }
    line = {
        "mark": {"type": "line", "strokeWidth": 2},
        "encoding": {"y": y, "tooltip": [tip("rate", "success rate", ".2f"), tip("density", "density", ".2f")]},
    }
    body = {"data": {"name": "density"}, "encoding": {"x": x}, "layer": [inside, line]}
    return {**chart(titles, {"density": table}, body), "height": _HEIGHT}
