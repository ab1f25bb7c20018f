"""What readers take along as files: what is known of prompts, prompts to train or evaluate on, charts."""

import io
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from verl_spo import data_file
from verl_spo.errors import SPOError
from verl_spo.store.queries import SelectedPrompt
from verl_spo_dashboard.chart import Chart

MOST_PROMPTS = 100_000
"""In one file."""

_TABLE = pa.schema(
    {
        "digest": pa.string(),
        "data_source": pa.string(),
        "messages": pa.string(),
        "ground_truth": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "n_eff": pa.float64(),
        "visits": pa.int64(),
        "last_step": pa.int64(),
    }
)
_OF_ROW = ("data_source", "ground_truth", "value", "low", "high", "n_eff", "visits", "last_step")


def table(prompts: Iterable[SelectedPrompt]) -> bytes:
    """A parquet file with a row a prompt: its text, and the tracker's estimate with its 90 % interval."""
    rows = [
        {
            "digest": each.row.digest.hex(),
            "messages": json.dumps(each.messages, ensure_ascii=False),
            **{name: getattr(each.row, name) for name in _OF_ROW},
        }
        for each in prompts
    ]
    return _parquet(rows, _TABLE)


def verl_data(prompts: Iterable[SelectedPrompt]) -> bytes:
    """A parquet file that verl trains or evaluates on.

    Raises:
        SPOError: A message is more than a role and a text, of which the store does not keep everything.
    """
    schema = data_file.schema({"spo_digest": ""})
    return _parquet([_row(each, index) for index, each in enumerate(prompts)], schema)


def csv(chart: Chart) -> bytes:
    """The numbers of a chart."""
    drawn: pa.Table = next(iter(chart.spec["datasets"].values()))
    target = io.BytesIO()
    pyarrow.csv.write_csv(drawn if chart.numbers is None else pa.table(dict(chart.numbers())), target)
    return target.getvalue()


def _row(each: SelectedPrompt, index: int) -> dict[str, Any]:
    for message in each.messages:
        if set(message) != {"role", "content"} or not isinstance(message["content"], str):
            raise SPOError(
                f"prompt {each.row.prompt_id}: has a message that is more than a role and a text (images, calls of "
                "tools), which the store keeps in part only; select prompts of text, or use the run's own data files"
            )
    extra = {"split": "train", "index": index, "spo_digest": each.row.digest.hex()}
    return data_file.row(each.row.data_source, each.messages, "", each.row.ground_truth, extra)


def _parquet(rows: list[dict[str, Any]], schema: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    return bytes(sink.getvalue())
