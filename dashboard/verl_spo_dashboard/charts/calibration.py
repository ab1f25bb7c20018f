"""What was expected against what happened."""

import numpy as np
import pyarrow as pa

from verl_spo.store.queries import Calibration
from verl_spo_dashboard.charts.spec import FROM_0_TO_1, GRAY, Spec, Titles, chart, tip, value_axis


def calibration(found: Calibration, titles: Titles) -> Spec:
    """Mean reward by mean v̂ at dispatch, with 95 % intervals where there are any; on the diagonal they agree."""
    seen = found.counts > 0
    columns = {
        "expected": found.expected, "reward": found.rewards, "low": found.low, "high": found.high,
        "count": found.counts,
    }  # fmt: skip
    table = pa.table({name: pa.array(values[seen], from_pandas=True) for name, values in columns.items()})
    across = {"field": "expected", "type": "quantitative", "title": "v̂ at dispatch", "scale": FROM_0_TO_1}
    diagonal = {
        "data": {"name": "diagonal"},
        "mark": {"type": "line", "strokeDash": [4, 4], "opacity": 0.5, "tooltip": None, "color": GRAY},
        "encoding": {"x": across, "y": value_axis("reward", titles.axis, FROM_0_TO_1)},
    }
    intervals = {
        "data": {"name": "bins"},
        "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
        "encoding": {"x": across, "y": value_axis("low", titles.axis, FROM_0_TO_1), "y2": {"field": "high"}},
    }
    points = {
        "data": {"name": "bins"},
        "mark": {"type": "point", "filled": True, "size": 60},
        "encoding": {
            "x": across,
            "y": value_axis("reward", titles.axis, FROM_0_TO_1),
            "tooltip": [
                tip("expected", "v̂ at dispatch", ".3f"), tip("reward", "mean reward", ".3f"),
                tip("low", "95 % from", ".2f"), tip("high", "to", ".2f"), tip("count", "trajectories", ",d"),
            ],
        },
    }  # fmt: skip
    ends = np.array([0.0, 1.0])
    datasets = {"bins": table, "diagonal": pa.table({"expected": ends, "reward": ends})}
    return chart(titles, datasets, {"layer": [diagonal, intervals, points]})
