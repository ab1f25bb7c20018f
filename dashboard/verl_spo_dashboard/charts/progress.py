"""The horizontal axis of charts whose reader chooses what it counts: how far a run is.

The data say what that is, and the specification does not: another choice is new data for the charts that the browser
has, which takes it little more than half the time of making others.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from verl_spo.store.records import FloatArray
from verl_spo_dashboard.charts.spec import Spec, step_axis


@dataclass(frozen=True)
class Axis:
    """What a horizontal axis counts: the data's field of it, and its title."""

    field: str
    title: str


STEP = Axis("step", "step")
TRAJECTORIES = Axis("trajectories", "trajectories")
HOURS = Axis("hours", "hours since the run began")
_AXES = (STEP, TRAJECTORIES, HOURS)

UNTIL = "until"
"""The field of a point's last step, where points stand for several."""

X = "x"
"""The field of where a point stands, once `found` has found it."""
_SAID = "said"
SAID: Spec = {"field": _SAID, "type": "nominal", "title": STEP.title}
"""What the pointer says of that."""


def columns(axis: Axis, steps: FloatArray, until: FloatArray, places: FloatArray) -> dict[str, pa.Array]:
    """The data of the axis, (n,) each.

    Args:
        axis: What it counts.
        steps: The first step of each point.
        until: The last one, where a point stands for several.
        places: Where they stand if the axis counts something else.
    """
    named = {STEP.field: single(steps)}
    if not np.array_equal(steps, until):
        named[UNTIL] = single(until)
    return named if axis == STEP else {**named, axis.field: single(places)}


def single(values: npt.NDArray[np.floating]) -> pa.Array:
    """Half as many bytes as the values have, none of them NaN: charts show fewer digits than that."""
    return pa.array(values.astype(np.float32), from_pandas=True)


def found() -> list[Spec]:
    """Transforms that make the field `X`, and what is said of it, of the data's columns."""
    place = f"format(datum.{X},datum.unit=='{HOURS.field}'?',.3~f':',d')"
    several = f"(datum.{UNTIL}>datum.step?'–'+format(datum.{UNTIL},'d'):'')"
    said = f"format(datum.step,'d')+{several}+(datum.unit=='{STEP.field}'?'':' · '+{place}+' '+datum.unit)"
    return [
        {"calculate": _chosen("datum", {axis: axis.field for axis in _AXES}), "as": "unit"},
        {"calculate": "datum[datum.unit]", "as": X},
        {"calculate": said, "as": _SAID},
    ]


def progress_axis(data: str) -> Spec:
    """The field `X` on the horizontal axis; `data` is the name of the data set."""
    first = f"data('{data}')[0]"
    spec = step_axis(X)
    ticks = {key: value for key, value in spec["axis"].items() if key != "tickMinStep"}
    # The specification's own title keeps the room for the one that is drawn, and is what screen readers say.
    drawn = {
        "format": ",.6~r",
        # Only hours have parts.
        "labelExpr": f"datum.value%1&&{first}.{HOURS.field}==null?'':datum.label",
        "encoding": {"title": {"text": {"value": {"expr": _chosen(first, {axis: axis.title for axis in _AXES})}}}},
    }
    return {**spec, "title": "progress", "axis": {**ticks, **drawn}}


def _chosen(row: str, words: dict[Axis, str]) -> str:
    """An expression: the word of the axis whose field a row has."""
    others = "".join(f"{row}.{axis.field}!=null?'{words[axis]}':" for axis in (TRAJECTORIES, HOURS))
    return f"{others}'{words[STEP]}'"
