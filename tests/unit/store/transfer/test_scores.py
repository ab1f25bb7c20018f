"""Files of scores per prompt."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_spo.errors import DataError
from verl_spo.store.transfer.scores import read_scores

SCORES = {"What is 1 + 1?": [1.0, 0.0, 1.0], "ünïcode": [0.5]}


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_reference_recipes_json(tmp_path: Path) -> None:
    path = write(tmp_path / "offline_values.json", {"What is 1 + 1?": [1.0, 0, True], " ünïcode\n": [0.5]})
    assert read_scores(path) == SCORES


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"prompt": "What is 1 + 1?", "score": 1},
        {"prompt": "ünïcode", "scores": [0.5], "other": "x"},
        {"prompt": "What is 1 + 1?", "scores": [0, 1]},
    ]
    assert read_scores(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")) == SCORES


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"prompt": list(SCORES), "scores": list(SCORES.values())})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_scores(str(tmp_path / "a.parquet")) == SCORES
    pq.write_table(pa.table({"prompt": ["a", "a"], "score": [1.0, 0.0]}), tmp_path / "b.parquet")
    assert read_scores(tmp_path / "b.parquet") == {"a": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[]", "must be a JSON object"),
        ("a.json", "{}", "holds no scores"),
        ("a.json", '{"p": "1"}', "must be a list of numbers"),
        ("a.json", '{"p": [null]}', "must be a list of numbers"),
        ("a.jsonl", '{"prompt": 1, "score": 1}', "row 0 must have"),
        ("a.jsonl", '{"prompt": "p"}', "row 0 must have"),
        ("a.jsonl", "[]", "row 0 must have"),
        ("a.csv", "", "must be a .json, .jsonl, .parquet file"),
    ],
)
def test_what_is_no_file_of_scores_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_scores(write(tmp_path / name, content))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file of scores"):
        read_scores(tmp_path / "a.json")
