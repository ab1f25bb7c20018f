"""Files that verl reads, and that say where they come from."""

import json

import pyarrow.parquet as pq
import pytest

from verl_spo.datasets.prompts import Problem
from verl_spo.datasets.writing import PROVENANCE_KEY, provenance, write
from verl_spo.training.verl_options import FILE_FORMATS

PROBLEMS = [
    Problem("aime_2024", "What is é?", "1", extra={"source_row": 4}),
    Problem("aime_2024", "And?", "2", extra={"source_row": 9}),
]
MADE = provenance("aime24", {"style": "boxed"}, {"repository": "somebody/aime"})


def test_rows_have_the_form_that_verl_reads(tmp_path) -> None:
    write(tmp_path / "new" / "aime24.parquet", PROBLEMS, "test", "plain", MADE)
    first, second = pq.read_table(tmp_path / "new" / "aime24.parquet").to_pylist()
    assert first == {
        "data_source": "aime_2024",
        "prompt": [{"role": "user", "content": "What is é?"}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "1"},
        "extra_info": {"split": "test", "index": 0, "source_row": 4},
    }
    assert second["extra_info"] == {"split": "test", "index": 1, "source_row": 9}


def test_prompts_ask_in_the_style_that_is_wanted(tmp_path) -> None:
    write(tmp_path / "x.parquet", PROBLEMS, "test", "boxed", MADE)
    (content,) = {row["prompt"][0]["content"][-10:] for row in pq.read_table(tmp_path / "x.parquet").to_pylist()}
    assert content.endswith("\\boxed{}.")


def test_a_file_says_how_it_was_made_inside_and_beside_it(tmp_path) -> None:
    write(tmp_path / "aime24.parquet", PROBLEMS, "test", "boxed", MADE)
    assert json.loads(pq.read_schema(tmp_path / "aime24.parquet").metadata[PROVENANCE_KEY]) == MADE
    assert json.loads((tmp_path / "aime24.provenance").read_text()) == MADE
    assert MADE["made_by"] == "verl-spo data aime24"
    assert {"python", "pyarrow"} <= set(MADE["versions"])


def test_only_the_parquet_file_is_data_to_verl(tmp_path) -> None:
    write(tmp_path / "aime24.parquet", PROBLEMS, "test", "boxed", MADE)
    assert [file.name for file in tmp_path.iterdir() if file.suffix in FILE_FORMATS] == ["aime24.parquet"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["aime24.parquet", "aime24.provenance"]


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path, monkeypatch) -> None:
    write(tmp_path / "a.parquet", PROBLEMS, "test", "boxed", MADE)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("verl_spo.datasets.writing.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.parquet", PROBLEMS[:1], "test", "boxed", MADE)
    assert pq.read_table(tmp_path / "a.parquet").num_rows == 2


def test_verl_reads_several_files_as_one_set(tmp_path) -> None:
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    from verl_spo.demo.tokenizer import build_tokenizer

    others = [Problem("beyondaime", "1+2=", "3", extra={"source_row": 0})]
    for name, problems in (("one", PROBLEMS), ("two", others)):
        write(tmp_path / f"{name}.parquet", problems, "test", "plain", MADE)
    config = OmegaConf.create({"max_prompt_length": 64, "cache_dir": str(tmp_path / "cache")})
    dataset = RLHFDataset([str(tmp_path / f"{name}.parquet") for name in ("one", "two")], build_tokenizer(), config)
    assert [row["data_source"] for row in dataset] == ["aime_2024", "aime_2024", "beyondaime"]
    assert [row["reward_model"]["ground_truth"] for row in dataset] == ["1", "2", "3"]
