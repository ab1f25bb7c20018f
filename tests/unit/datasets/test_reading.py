"""Files that are what they were, and files that are not."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.published import ROWS, dapo_row, publish
from verl_spo.datasets.reading import describe, find_files, read
from verl_spo.datasets.sources import SOURCES
from verl_spo.errors import DataError

DAPO, AIME = SOURCES["dapo-math-17k"], SOURCES["aime24"]


def read_all(folder, source):
    return [pair for file in find_files(folder) for pair in read(file, source)]


@pytest.mark.parametrize("name", SOURCES)
def test_every_published_set_is_read(tmp_path, name) -> None:
    pairs = read_all(publish(tmp_path, ROWS[name]), SOURCES[name])
    assert len(pairs) == len(ROWS[name])
    assert all(isinstance(text, str) and text for pair in pairs for text in pair)


@pytest.mark.parametrize("form", ["lines", "array"])
def test_json_is_read_like_parquet(tmp_path, form) -> None:
    rows = ROWS["dapo-math-17k"]
    text = json.dumps(rows, indent=2) if form == "array" else "\n".join(map(json.dumps, rows))
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "train.json").write_text(text)
    expected = read_all(publish(tmp_path / "parquet", rows), DAPO)
    assert read_all(tmp_path / "json", DAPO) == expected
    assert len(expected) == 2


def test_parquet_goes_before_json_and_hidden_folders_are_left_out(tmp_path) -> None:
    publish(tmp_path, ROWS["aime24"])
    publish(tmp_path / ".cache", ROWS["aime24"])
    (tmp_path / "dataset_infos.json").write_text("{}")
    assert [file.name for file in find_files(tmp_path)] == ["train-00000-of-00001.parquet"]


def test_a_folder_without_data_is_named(tmp_path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(DataError, match=rf"--from {re.escape(str(tmp_path))}: has no .parquet"):
        find_files(tmp_path)


@pytest.mark.parametrize(
    ("source", "rows", "expected", "found"),
    [
        (AIME, [{"Problem": "?", "Answer": 1}], "problem: text, answer: text or whole number", "Problem: string"),
        (AIME, [{"problem": "?", "answer": 1.5}], "answer: text or whole number", "answer: double"),
        (AIME, [{"problem": ["?"], "answer": 1}], "problem: text", "problem: list<"),
        (
            DAPO,
            [{"prompt": "What?", "reward_model": {"ground_truth": "1"}}],
            "prompt[0].content: text, reward_model.ground_truth: text or whole number",
            "prompt: string",
        ),
        (DAPO, [{**dapo_row("?", "1"), "reward_model": {"truth": "1"}}], "reward_model.ground_truth", "truth: string"),
    ],
)
def test_a_changed_schema_is_shown_beside_the_expected_one(tmp_path, source, rows, expected, found) -> None:
    with pytest.raises(DataError) as caught:
        read_all(publish(tmp_path, rows), source)
    message = str(caught.value)
    assert f"not the columns of {source.repository} as it was" in message
    assert expected in message.partition("; found ")[0]
    assert found in message.partition("; found ")[2]
    assert "--revision" in message


@pytest.mark.parametrize("messages", [[], [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]])
def test_prompts_of_several_messages_are_refused(tmp_path, messages) -> None:
    rows = [dapo_row("?", "1"), {**dapo_row("?", "1"), "prompt": messages}]
    with pytest.raises(DataError, match="column 'prompt' holds lists of several values, or of none"):
        read_all(publish(tmp_path, rows), DAPO)


@pytest.mark.parametrize("name", ["broken.parquet", "broken.jsonl", "broken.json"])
def test_a_file_that_is_not_what_it_is_called_is_named(tmp_path, name) -> None:
    (tmp_path / name).write_text("[1, 2]" if name == "broken.json" else "<html>")
    with pytest.raises(DataError, match=rf"{name}: cannot be read as {name.partition('.')[2]}"):
        read_all(tmp_path, AIME)


def test_many_row_groups_are_read_in_order(tmp_path) -> None:
    table = pa.Table.from_pylist([{"problem": f"problem {i}", "answer": i} for i in range(100)])
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    assert read_all(tmp_path, AIME) == [(f"problem {i}", str(i)) for i in range(100)]


def test_a_file_is_described_by_what_is_in_it(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.json").write_bytes(b"abc")
    assert describe(tmp_path / "data" / "a.json", tmp_path) == {
        "name": "data/a.json",
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
