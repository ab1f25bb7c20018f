"""`verl-spo data NAME`, on files like the published ones."""

import json

import huggingface_hub
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.support.published import ROWS, dapo_row, publish
from verl_spo.cli.data import app
from verl_spo.datasets.sources import SOURCES
from verl_spo.errors import DataError


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", SOURCES)
def test_every_set_is_written_from_a_folder(tmp_path, name) -> None:
    source = publish(tmp_path / "published", ROWS[name])
    output = run(name, "--from", source, "--out", tmp_path / "data")
    assert f"{len(ROWS[name])} prompts in " in output
    rows = pq.read_table(tmp_path / "data" / f"{name}.parquet").to_pylist()
    assert {row["data_source"] for row in rows} == {SOURCES[name].data_source}
    assert all("\\boxed{}" in row["prompt"][0]["content"] for row in rows)
    made = json.loads((tmp_path / "data" / f"{name}.provenance").read_text())
    assert made["source"]["repository"] == SOURCES[name].repository
    assert made["source"]["files"][0]["name"] == "data/train-00000-of-00001.parquet"
    assert made["source"]["counts"]["problems"] == len(rows)


def test_what_is_left_out_is_said(tmp_path) -> None:
    rows = [dapo_row("What?", "1"), dapo_row("What?", "1"), dapo_row("What?", "2"), dapo_row("计算", "3")]
    output = run("dapo-math-17k", "--from", publish(tmp_path, rows), "--out", tmp_path / "data")
    assert "1 prompts in" in output
    assert "4 rows, 2 repeated, 1 contradicting, 1 chinese" in output


def test_dapos_own_words_are_a_choice(tmp_path) -> None:
    source = publish(tmp_path, ROWS["dapo-math-17k"])
    run("dapo-math-17k", "--from", source, "--out", tmp_path / "data", "--style", "answer")
    rows = pq.read_table(tmp_path / "data" / "dapo-math-17k.parquet").to_pylist()
    assert [row["prompt"][0]["content"] for row in rows] == [
        row["prompt"][0]["content"] for row in ROWS["dapo-math-17k"]
    ]


def test_without_a_folder_the_hub_is_asked(tmp_path, monkeypatch) -> None:
    published = publish(tmp_path / "snapshots" / "c0ffee", ROWS["hmmt25"])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **options: str(published))
    run("hmmt25", "--out", tmp_path / "data", "--revision", "main")
    made = json.loads((tmp_path / "data" / "hmmt25.provenance").read_text())
    assert made["source"]["commit"] == "c0ffee"
    assert made["options"] == {"style": "boxed", "revision": "main"}


def test_a_revision_of_a_folder_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="--revision v1: is of the hub"):
        run("aime24", "--from", publish(tmp_path, ROWS["aime24"]), "--revision", "v1")


def test_puzzles_are_written_in_two_parts_with_nothing_in_common(tmp_path) -> None:
    pytest.importorskip("reasoning_gym", reason="without reasoning-gym")
    arguments = ("reasoning-gym", "--task", "gcd", "--task", "chain_sum", "--train", 20, "--validation", 10)
    assert "20 training and 10 validation prompts of gcd, chain_sum" in run(*arguments, "--out", tmp_path)
    train, validation = (pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("train", "validation"))
    questions = [row["prompt"][0]["content"] for row in train + validation]
    assert len(set(questions)) == 30
    assert {row["data_source"] for row in validation} == {"reasoning_gym/gcd", "reasoning_gym/chain_sum"}
    assert json.loads((tmp_path / "train.provenance").read_text())["options"]["task"] == ["gcd", "chain_sum"]
