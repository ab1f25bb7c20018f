"""Rows by the column say the same as rows one by one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Image, List, load_dataset

from verl_spo.training.prompts.identity import Fields
from verl_spo.training.prompts.rows import ItemRows, Rows, TableRows, rows_of

FIELDS = Fields(further=("seed",))


def row(number: int) -> dict[str, Any]:
    """Rows repeat after 24, but for what nobody sees; more than a chunk of them are read."""
    kind = number % 24
    return {
        "data_source": f"source {kind % 2}",
        "prompt": [{"role": "system", "content": "Be brief."}] * (kind % 3 == 0)
        + [{"role": "user", "content": f"How many? {kind // 8}"}],
        "images": [{"bytes": bytes([kind % 2, kind // 12]), "path": None}] * (kind % 2),
        "reward_model": {"style": "rule", "ground_truth": ["yes"] * (kind % 4)},
        "extra_info": {
            "index": number,
            "seed": kind % 3,
            "note": str(number % 5),
            "tools_kwargs": {"level": kind // 6},
        },
    }


def all_digests(rows: Rows) -> list[tuple[bytes, bytes]]:
    return [pair for some in rows.digests() for pair in some]


def alike(values: list[bytes]) -> list[int]:
    """For each value, where it first stood."""
    return [values.index(value) for value in values]


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    return [row(number) for number in range(2500)]


@pytest.fixture(scope="module")
def table(items: list[dict[str, Any]]) -> Dataset:
    return Dataset.from_list(items)


@pytest.mark.parametrize("chosen", [slice(None), slice(700, 1900), slice(None, None, 7)])
def test_by_the_column_and_one_by_one_are_the_same(items: list, table: Dataset, chosen: slice) -> None:
    by_column = rows_of(table.select(range(2500)[chosen]), FIELDS)
    one_by_one = rows_of(items[chosen], FIELDS)
    assert (type(by_column), type(one_by_one)) == (TableRows, ItemRows)
    assert len(by_column) == len(one_by_one)
    (prompts, beyond), (wanted, said) = (zip(*all_digests(rows), strict=True) for rows in (by_column, one_by_one))
    assert prompts == wanted
    assert len(set(prompts)) == 24
    assert alike(list(beyond)) == alike(list(said))
    numbers = np.array([0, 3, 21, len(by_column) - 1])
    assert list(by_column.prompts(numbers)) == list(one_by_one.prompts(numbers))
    assert by_column[5] == one_by_one[5]
    assert by_column.leaves == one_by_one.leaves >= {"prompt", "extra_info.seed", "reward_model.style"}


def test_images_are_not_opened(table: Dataset) -> None:
    pictures = rows_of(table.cast_column("images", List(Image())), FIELDS)
    assert all_digests(pictures) == all_digests(rows_of(table, FIELDS))


def test_json_of_several_types_is_what_it_says(tmp_path: Path) -> None:
    parts = [{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many?"}]
    rows = [
        {"prompt": [{"role": "user", "content": "How many?"}], "reward_model": {"ground_truth": {"value": 2}}},
        {"prompt": [{"role": "user", "content": parts}], "reward_model": {"ground_truth": "two"}},
        {"prompt": [{"role": "user", "content": "How many?"}], "reward_model": {"ground_truth": {"value": 3}}},
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    read = load_dataset("json", data_files=str(tmp_path / "rows.json"), cache_dir=str(tmp_path))["train"]
    by_column = rows_of(read, Fields())
    assert isinstance(by_column, TableRows)
    assert list(by_column.prompts(np.arange(3))) == list(rows_of(rows, Fields()).prompts(np.arange(3)))
    assert [text for text, _ in all_digests(by_column)] == [text for text, _ in all_digests(rows_of(rows, Fields()))]


def test_notes_that_are_json_are_looked_into(tmp_path: Path) -> None:
    rows = [
        {**row(0), "extra_info": extra} for extra in ({"tools_kwargs": {"level": 1}}, "nothing", {"tools_kwargs": 2})
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [{**each, "images": []} for each in rows])))
    read = load_dataset("json", data_files=str(tmp_path / "rows.jsonl"), cache_dir=str(tmp_path))["train"]
    digests = [prompt for prompt, _ in all_digests(rows_of(read, Fields()))]
    assert len(set(digests)) == 3
