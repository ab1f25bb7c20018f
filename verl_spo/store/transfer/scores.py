"""Scores a prompt from before training, as files hold them (`spo.init=file`, `verl-spo import`).

- JSON: an object of prompt -> list of scores, as the reference recipe's `merge_offline_values.py` writes it.
- JSON lines and parquet: rows of `prompt` and either `scores` (a list) or `score` (one; rows of a prompt add up).

A prompt is named by its digest in hex, or by the text of its last message.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from verl_spo.errors import DataError

_SUFFIXES = (".json", ".jsonl", ".parquet")


def read_scores(path: str | Path) -> dict[str, list[float]]:
    """Scores by prompt, in the rewards' own unit.

    Raises:
        DataError: The file is missing, of another format, or a prompt's scores are not numbers.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"{path}: no such file of scores")
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path}: must be a {', '.join(_SUFFIXES)} file")
    scores: dict[str, list[float]] = {}
    for prompt, values in _read(path):
        scores.setdefault(prompt.strip(), []).extend(_numbers(path, prompt, values))
    if not scores:
        raise DataError(f"{path}: holds no scores")
    return scores


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        yield from _rows(path, (row for batch in file.iter_batches() for row in batch.to_pylist()))
    elif path.suffix == ".jsonl":
        with path.open(encoding="utf-8") as lines:
            yield from _rows(path, (_parse(path, line) for line in lines if line.strip()))
    else:
        document = _parse(path, path.read_text(encoding="utf-8"))
        if not isinstance(document, Mapping):
            raise DataError(f"{path}: must be a JSON object of prompt -> list of scores")
        yield from document.items()


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error


def _rows(path: Path, rows: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    for number, row in enumerate(rows):
        given = row if isinstance(row, Mapping) else {}
        if not isinstance(given.get("prompt"), str) or not {"score", "scores"} & given.keys():
            raise DataError(f"{path}: row {number} must have `prompt` and `score` or `scores`; it has {sorted(given)}")
        yield given["prompt"], given.get("scores", given.get("score"))


def _numbers(path: Path, prompt: str, values: Any) -> list[float]:
    listed = values if isinstance(values, list) else [values]
    if not all(isinstance(value, int | float) for value in listed):
        raise DataError(f"{path}: prompt {prompt[:60]!r} has scores {values!r:.60}; must be a list of numbers")
    return [float(value) for value in listed]
