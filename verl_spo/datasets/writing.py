"""verl's parquet files, with where they come from: inside, and beside them as JSON."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from os import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_spo import data_file
from verl_spo.datasets.prompts import Problem, Style

PROVENANCE_KEY = b"verl_spo.provenance"
# Not .json: verl-spo takes a folder's .json files for data (data.train_files=FOLDER).
PROVENANCE_SUFFIX = ".provenance"
_PACKAGES = ("verl-spo", "reasoning-gym", "huggingface_hub", "pyarrow")


def provenance(command: str, options: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """Who made a file of what, when and how."""
    installed = {name: next(iter(importlib.metadata.distributions(name=name)), None) for name in _PACKAGES}
    return {
        "made_by": f"verl-spo data {command}",
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": dict(options),
        "source": dict(source),
        "versions": {
            "python": platform.python_version(),
            **{name: found.version for name, found in installed.items() if found is not None},
        },
    }


def write(file: Path, problems: Sequence[Problem], split: str, style: Style, made: Mapping[str, Any]) -> None:
    """Write problems as verl's rows, and `made` as the file's provenance; a reader never sees half a file.

    Args:
        file: Where to; its folder is made if need be.
        problems: At least one.
        split: `train` or `test`.
        style: How the prompts ask for the answer.
        made: What `provenance` says.
    """
    rows = [_row(problem, index, split, style) for index, problem in enumerate(problems)]
    text = json.dumps(dict(made), indent=1, ensure_ascii=False)
    table = pa.Table.from_pylist(rows, schema=data_file.schema(problems[0].extra))
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished, told = file.with_name(f"{file.name}.unfinished"), file.with_suffix(PROVENANCE_SUFFIX)
    pq.write_table(table.replace_schema_metadata({PROVENANCE_KEY: text.encode()}), unfinished)
    replace(unfinished, file)
    unfinished.write_text(text + "\n")
    replace(unfinished, told)


def _row(problem: Problem, index: int, split: str, style: Style) -> dict[str, Any]:
    messages = [{"role": "user", "content": problem.prompt(style)}]
    extra = {"split": split, "index": index, **problem.extra}
    return data_file.row(problem.data_source, messages, problem.ability, problem.answer, extra)
