"""One prompt over training steps: what came of it, and what its evidence was worth."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from verl_spo.core.interval import wilson_interval
from verl_spo.store.queries import ObservationRow
from verl_spo_dashboard.charts.spec import FROM_0_TO_1, Spec, Titles, chart, step_axis, tip, value_axis

OPENED = "opened"
"""Name of the selection that a click on an outcome makes: of the fields `step`, `attempt` and `seq`."""

_LOW_HEIGHT = 180
# Charts of the same width share an axis of steps: labels take the same room, and so do marks beyond the ends.
_LABELS = 46
_BEYOND = 10


def prompt_history(
    history: Iterable[ObservationRow],
    titles: Titles,
    opens: bool = False,
    chosen: Sequence[tuple[int, int, int]] = (),
) -> Spec:
    """One prompt's rewards, v_hat after each, and its 90 % interval; superseded observations are crosses.

    Args:
        history: In any order.
        titles: Words around them.
        opens: Whether a click on an outcome chooses it.
        chosen: Keys of those that are filled.
    """
    rows = sorted(history, key=lambda row: row.key)
    low, high = wilson_interval([row.value for row in rows], [row.alpha + row.beta for row in rows])
    visits = {
        "step": [row.step for row in rows],
        "attempt": [row.attempt for row in rows],
        "seq": [row.seq for row in rows],
        "reward": [row.reward for row in rows],
        "value": [row.value for row in rows],
        "low": low,
        "high": high,
        "superseded": [row.superseded for row in rows],
        "chosen": [row.key in chosen for row in rows],
    }
    counting = [{"filter": "!datum.superseded"}]
    band = {
        "transform": counting,
        "mark": {"type": "area", "opacity": 0.18, "interpolate": "step-after", "tooltip": None},
        "encoding": {"y": _axis("low", titles.axis, FROM_0_TO_1), "y2": {"field": "high"}},
    }
    values = {
        "transform": counting,
        "mark": {"type": "line", "strokeWidth": 2, "interpolate": "step-after", "tooltip": None},
        "encoding": {"y": _axis("value", titles.axis, FROM_0_TO_1)},
    }
    shapes = {"domain": [False, True], "range": ["circle", "cross"]}
    picking = {"type": "point", "fields": ["step", "attempt", "seq"], "on": "click"}
    rewards = {
        **({"params": [{"name": OPENED, "select": picking}]} if opens else {}),
        "mark": {
            "type": "point",
            "size": 55,
            "strokeWidth": 1.5,
            "filled": False,
            "cursor": "pointer" if opens else "default",
        },
        "encoding": {
            "y": _axis("reward", titles.axis, FROM_0_TO_1),
            "shape": {"field": "superseded", "type": "nominal", "scale": shapes, "legend": None},
            "opacity": {"condition": {"test": "datum.superseded", "value": 0.5}, "value": 0.9},
            "size": {"condition": {"test": "datum.chosen", "value": 170}, "value": 55},
            "strokeWidth": {"condition": {"test": "datum.chosen", "value": 4}, "value": 1.5},
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
    encoding = {"x": _across(rows)}
    body = {"data": {"name": "visits"}, "encoding": encoding, "layer": [band, values, rewards]}
    return chart(titles, {"visits": pa.table(visits)}, body)


def prompt_numbers(history: Iterable[ObservationRow], field: str, titles: Titles) -> Spec:
    """A number of each of a prompt's visits, below its history and on the same axis.

    Args:
        history: In any order.
        field: Of an observation: a number, or None for none.
        titles: Words around them.
    """
    rows = sorted(history, key=lambda row: row.key)
    known = [row for row in rows if not row.superseded and getattr(row, field) is not None]
    numbers = [(row.step, getattr(row, field)) for row in known]
    table = pa.table(
        {
            "step": pa.array([step for step, _ in numbers], pa.int64()),
            "number": pa.array([value for _, value in numbers], pa.float64()),
        }
    )
    encoding = {
        "x": _across(rows),
        "y": _axis("number", titles.axis, {"zero": True}),
        "tooltip": [tip("step", "step", "d"), tip("number", titles.axis, ".4~g")],
    }
    mark = {"type": "line", "strokeWidth": 1.5, "point": {"size": 28}}
    made = chart(titles, {"numbers": table}, {"data": {"name": "numbers"}, "mark": mark, "encoding": encoding})
    return {**made, "height": _LOW_HEIGHT}


def _across(rows: Sequence[ObservationRow]) -> Spec:
    axis = step_axis()
    ends = {"domain": [rows[0].step, rows[-1].step]} if rows and rows[0].step < rows[-1].step else {}
    return {**axis, "scale": {**axis["scale"], **ends, "padding": _BEYOND}}


def _axis(field: str, title: str, scale: Spec) -> Spec:
    axis = value_axis(field, title, scale)
    return {**axis, "axis": {**axis["axis"], "minExtent": _LABELS, "maxExtent": _LABELS}}
