import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from tests.support.plausible import PlausibleRun
from tests.support.stores import pool, trained
from verl_spo.errors import SPOError
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import PromptFilter, SelectedPrompt
from verl_spo.training.prompts.pool import PromptPool
from verl_spo_dashboard import data, exports


@pytest.fixture
def selected(tmp_path: Path) -> list[SelectedPrompt]:
    url = f"sqlite:///{tmp_path}/store.db"
    trained(url, steps=5)
    with open_reader(url) as reader:
        return list(queries.selected_prompts(reader, 1, PromptFilter(source="arithmetic"), most=10))


def test_a_table_has_all_that_is_known(selected: list[SelectedPrompt]) -> None:
    rows = pq.read_table(io.BytesIO(exports.table(selected))).to_pylist()
    assert len(rows) == 10
    for row, each in zip(rows, selected, strict=True):
        assert json.loads(row["messages"]) == each.messages
        assert bytes.fromhex(row["digest"]) == each.row.digest
        assert (row["value"], row["low"], row["high"]) == (each.row.value, each.row.low, each.row.high)
        assert (row["visits"], row["last_step"]) == (each.row.visits, each.row.last_step)


def test_training_takes_a_selection_for_the_same_prompts(tmp_path: Path, selected: list[SelectedPrompt]) -> None:
    file = tmp_path / "selection.parquet"
    file.write_bytes(exports.verl_data(selected))
    found = list(PromptPool(Dataset.from_parquet(str(file), cache_dir=str(tmp_path))).records())
    by_digest = {prompt.digest: prompt for prompt in pool()}
    for record, each in zip(found, selected, strict=True):
        known = by_digest[each.row.digest]
        assert (record.data_source, record.messages) == (known.data_source, known.messages)
        assert record.ground_truth == known.ground_truth
    assert pq.read_table(file).column_names == ["data_source", "prompt", "ability", "reward_model", "extra_info"]


def test_a_prompt_with_a_picture_is_refused(selected: list[SelectedPrompt]) -> None:
    picture = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    with pytest.raises(SPOError, match="more than a role and a text"):
        exports.verl_data([replace(selected[0], messages=picture)])


def test_nothing_selected_is_an_empty_file() -> None:
    for made in (exports.table([]), exports.verl_data([])):
        assert pq.read_table(io.BytesIO(made)).num_rows == 0


def test_a_curve_is_taken_along_as_csv(url: str) -> None:
    PlausibleRun(url, name="a").train(3).close()
    curves = data.Curves()
    with open_reader(url) as reader:
        (row,) = queries.runs(reader)
        curves.update(reader, [row.id], ["spo/reward"])
    header, *rows = exports.curve_csv([row], curves, "spo/reward").decode().splitlines()
    assert header == '"run","step","spo/reward"'
    assert [float(line.split(",")[-1]) for line in rows] == curves.points(row.id, "spo/reward")[1].tolist()
