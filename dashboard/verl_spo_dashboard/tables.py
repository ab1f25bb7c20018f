"""What readers take along: numbers of the pages as files."""

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.csv

from verl_spo.store.queries import RunRow
from verl_spo_dashboard.data import Curves


def curve_csv(runs: Sequence[RunRow], curves: Curves, name: str) -> bytes:
    """A metric of several runs as CSV, with the columns run, step and the metric's name."""
    columns: dict[str, list[object]] = {"run": [], "step": [], name: []}
    for run in runs:
        steps, values = curves.points(run.id, name)
        columns["run"] += [run.name] * steps.size
        columns["step"] += steps.tolist()
        columns[name] += values.tolist()
    target = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), target)
    return target.getvalue()
