import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from tests.support.plausible import PlausibleRun
from tests.support.stores import pool, trained
from verl_spo.errors import SPOError
from verl_spo.store import open_reader, queries
from verl_spo.store.queries import PromptFilter, SelectedPrompt
from verl_spo.training.prompts.pool import PromptPool
from verl_spo_dashboard import charts, data, exports, panels, phases
from verl_spo_dashboard.chart import Chart
from verl_spo_dashboard.charts import Look, Titles
from verl_spo_dashboard.panels import Drawing


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


@pytest.fixture
def drawing(url: str) -> Drawing:
    """Of a run whose trainer waits for others' rollouts."""
    PlausibleRun(url, name="a").train(3).close()
    curves, places = data.Curves(), data.Places()
    with open_reader(url) as reader:
        (row,) = queries.runs(reader)
        curves.update(reader, [row.id], panels.metrics())
        places.update(reader, row)
    return Drawing([row], curves, places, Look(0.9), {row.id})


def rows(chart: Chart) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exports.csv(chart).decode())))


def test_a_curve_is_taken_along_as_csv_every_point_as_it_was_logged(drawing: Drawing) -> None:
    reward, *_ = panels.of_curves(drawing, panels.LEARNING)
    found = rows(reward)
    assert list(found[0]) == ["run", "curve", "step", "value"]
    assert {(row["run"], row["curve"]) for row in found} == {("a", "Reward")}
    assert [float(row["value"]) for row in found] == drawing.curves.points(1, "spo/reward")[1].tolist()


def test_a_curve_of_several_metrics_names_each(drawing: Drawing) -> None:
    (value,) = (chart for chart in panels.of_curves(drawing, panels.LEARNING) if chart.title == "Value")
    assert [(row["curve"], row["step"]) for row in rows(value)] == [
        (name, str(step)) for name in ("pool", "drawn") for step in (1, 2, 3)
    ]


def test_the_time_of_a_step_is_taken_along_by_phase(drawing: Drawing) -> None:
    (time,) = panels.of_time(drawing)
    _, parts = phases.of(drawing.curves, 1, waiting=True)
    found = rows(time)
    assert list(found[0]) == ["step", *parts]
    assert [float(row[phases.REST]) for row in found] == parts[phases.REST].tolist()


def test_a_chart_without_numbers_of_its_own_gives_what_it_draws() -> None:
    spec = charts.histogram(np.array([0.25, 0.75]), np.array([1, 3]), Titles("Value now", "", ""))
    assert rows(Chart("histogram", spec)) == [
        {"low": "0", "high": "0.5", "share": "0.25", "count": "1"},
        {"low": "0.5", "high": "1", "share": "0.75", "count": "3"},
    ]
