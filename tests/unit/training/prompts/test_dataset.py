"""verl's own data sets, and those of users, as the pool reads them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import Dataset
from verl.utils.dataset.rl_dataset import RLHFDataset

from verl_spo.training.prompts.dataset import pool_source
from verl_spo.training.prompts.pool import PromptPool
from verl_spo.training.verl_options import data_files

pytestmark = pytest.mark.slow

COLOURS = (b"red", b"green", b"blue")


def row(colour: bytes) -> dict[str, Any]:
    return {
        "data_source": "colours",
        "prompt": [{"role": "user", "content": "Which colour?"}],
        "colour": colour,
        "reward_model": {"ground_truth": "x"},
        "extra_info": {"index": 1},
    }


@pytest.fixture
def data(tmp_path: Path) -> DictConfig:
    pq.write_table(pa.Table.from_pylist([row(colour) for colour in COLOURS]), tmp_path / "train.parquet")
    names = {"image_key": "colour", "video_key": "videos", "audio_key": "audios", "prompt_key": "prompt"}
    return OmegaConf.create({**names, "file": str(tmp_path / "train.parquet"), "cache_dir": str(tmp_path)})


class Painted(RLHFDataset):  # type: ignore[misc]
    """A class of a user's that makes its prompts from another column of verl's table."""

    def _build_messages(self, example: dict[str, Any], key: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "image", "image": example["colour"]}]}]


class Listed(Dataset[Any]):
    """Another one, without a table."""

    def __len__(self) -> int:
        return len(COLOURS)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"raw_prompt": row(b"")["prompt"], "data_source": "colours", "tools_kwargs": {"colour": number}}


def open_table(kind: type, data: DictConfig, files: Any = None) -> Any:
    config = OmegaConf.merge(data, {"filter_overlong_prompts": False})
    return kind(data_files=files or data.file, tokenizer=None, config=config)


def test_verls_own_rows_are_those_of_its_table(data: DictConfig) -> None:
    dataset = open_table(RLHFDataset, data)
    rows, fields = pool_source(dataset, data, None)
    assert rows is dataset.dataframe
    assert len(PromptPool(rows, fields)) == 3


def test_verl_reads_a_folder_that_is_spelt_out(data: DictConfig) -> None:
    folder = str(Path(data.file).parent)
    config = OmegaConf.create({"data": {"train_files": folder, "custom_cls": {"path": None}}})
    assert len(open_table(RLHFDataset, data, data_files(config, "train_files"))) == 3


def test_what_a_users_class_makes_of_a_table_is_asked_for(data: DictConfig) -> None:
    data.image_key = "images"
    dataset = open_table(Painted, data)
    assert len(PromptPool(*pool_source(dataset, data, None))) == 3


def test_a_users_class_needs_no_table(data: DictConfig) -> None:
    pool = PromptPool(*pool_source(Listed(), data, None))
    assert len(pool) == 3
    assert pool.name(2) == "'Which colour?'"
    assert [record.ground_truth for record in pool.records()] == ["", "", ""]
