"""Rows of a data file as verl reads them: prompt, ground truth, and where a row comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa


def schema(extra: Mapping[str, Any]) -> Any:
    """Columns of such rows, whose `extra_info` has entries like these beside `split` and `index`: numbers or texts."""
    kinds = {name: pa.int64() if isinstance(value, int) else pa.string() for name, value in extra.items()}
    return pa.schema(
        {
            "data_source": pa.string(),
            "prompt": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
            "ability": pa.string(),
            "reward_model": pa.struct({"style": pa.string(), "ground_truth": pa.string()}),
            "extra_info": pa.struct({"split": pa.string(), "index": pa.int64(), **kinds}),
        }
    )


def row(
    data_source: str,
    messages: Sequence[Mapping[str, Any]],
    ability: str,
    ground_truth: str,
    extra_info: Mapping[str, Any],
) -> dict[str, Any]:
    """One row, judged by a rule."""
    return {
        "data_source": data_source,
        "prompt": [dict(message) for message in messages],
        "ability": ability,
        "reward_model": {"style": "rule", "ground_truth": ground_truth},
        "extra_info": dict(extra_info),
    }
