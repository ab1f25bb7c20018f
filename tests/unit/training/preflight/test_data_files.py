"""Data that cannot work is refused by name; data that verl can read is not."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf

from verl_spo.errors import ConfigError, DataError
from verl_spo.training.preflight import data

OWN_FUNCTION = {"custom_reward_function": {"path": "rewards.py"}}
MODEL = {"reward_model": {"enable": True}}


def row(content: str | None = "1+1", truth: Any = "2") -> dict[str, Any]:
    return {
        "data_source": "arithmetic",
        "prompt": [{"role": "user", "content": content}] if content else [],
        "reward_model": {"style": "rule", "ground_truth": truth},
    }


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(exist_ok=True)
    schema = None if rows else pa.Table.from_pylist([row()]).schema
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    return file


def configure(files: Any, reward: Any = None, agents: str | None = None, **data: Any) -> DictConfig:
    """verl's options, as far as they say where data and rewards come from."""
    plain = {
        "data": {
            "train_files": files,
            "val_files": files,
            "prompt_key": "prompt",
            "shuffle": True,
            "seed": None,
            "custom_cls": {"path": None},
        },
        "reward": {
            "reward_manager": {"source": "register"},
            "custom_reward_function": {"path": None},
            "reward_model": {"enable": False},
        },
        "actor_rollout_ref": {"rollout": {"agent": {"agent_loop_config_path": agents}}},
    }
    changed = OmegaConf.merge(plain, {"data": data, "reward": reward or {}})
    assert isinstance(changed, DictConfig)
    return changed


def refusal(config: DictConfig) -> str:
    with pytest.raises(DataError) as caught:
        data.check(config)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "the file has no rows"),
        ([row(), row(None)], "1 rows have no prompt; the first is row 1"),
        ([row(truth=None), row()], "1 rows have no reward_model.ground_truth; the first is row 0"),
        ([row(truth="")], "1 rows have no reward_model.ground_truth; the first is row 0"),
        ([row(), row(truth=None)], "1 rows have no reward_model.ground_truth; the first is row 1"),
        ([row(truth=[1]), row(truth=None)], "1 rows have no reward_model.ground_truth; the first is row 1"),
        ([{"question": "1+1"}], "no column 'prompt'; it has question"),
        ([{"prompt": row()["prompt"]}], "no column 'data_source'; it has prompt"),
        ([{**row(), "prompt": "1+1"}], "column 'prompt' holds string; it must hold lists of chat messages"),
        (
            [{**row(), "reward_model": {"style": "rule"}}],
            "column 'reward_model' holds struct<style: string>; it must have an entry 'ground_truth'",
        ),
    ],
)
def test_unusable_rows_are_counted_and_the_first_is_named(tmp_path: Path, rows: list, expected: str) -> None:
    file = write(tmp_path / "train.parquet", rows)
    assert refusal(configure(str(file))) == f"data.train_files={file}: {expected}"


@pytest.mark.parametrize("truth", [2, 2.5, True, ["2", "two"], {"value": 2}, [{"test": "f(1) == 2"}]])
def test_a_ground_truth_of_any_type_is_legal(tmp_path: Path, truth: Any) -> None:
    data.check(configure(str(write(tmp_path / "train.parquet", [row(truth=truth)]))))


@pytest.mark.parametrize(
    ("rows", "reward"),
    [
        ([row(truth=None), row()], OWN_FUNCTION),
        ([row(truth="")], OWN_FUNCTION),
        ([{"prompt": row()["prompt"]}], MODEL),
        ([{"prompt": row()["prompt"]}], {"reward_manager": {"source": "importlib"}}),
    ],
)
def test_rewards_that_need_no_ground_truth_get_none(tmp_path: Path, rows: list, reward: Any) -> None:
    data.check(configure(str(write(tmp_path / "train.parquet", rows)), reward))


def test_an_agent_loop_of_the_users_may_bring_its_rewards_along(tmp_path: Path) -> None:
    data.check(configure(str(write(tmp_path / "train.parquet", [{"prompt": row()["prompt"]}])), agents="loops.yaml"))


def test_a_function_beside_a_reward_model_still_gets_the_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "train.parquet", [{"prompt": row()["prompt"]}])
    assert "no column 'data_source'" in refusal(configure(str(file), {**MODEL, **OWN_FUNCTION}))


@pytest.mark.parametrize("place", ["hdfs://cluster/data/train.parquet", "s3://bucket/train.parquet"])
def test_files_elsewhere_are_left_to_verl(place: str) -> None:
    data.check(configure([place]))


def test_a_folder_is_the_files_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "train.parquet"
    write(folder / "part-0.parquet", [row()])
    (folder / "_SUCCESS").touch()
    data.check(configure(str(folder)))
    bad = write(folder / "part-1.parquet", [row(None)])
    assert refusal(configure(str(folder))) == f"data.train_files={bad}: 1 rows have no prompt; the first is row 0"


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    assert refusal(configure(str(tmp_path))) == (
        f"data.train_files='{tmp_path}': must name at least one .parquet, .json, .jsonl file, or a folder that has some"
    )


def test_a_pattern_is_the_files_that_it_matches(tmp_path: Path) -> None:
    write(tmp_path / "part-0.parquet", [row()])
    bad = write(tmp_path / "part-1.parquet", [row(None)])
    data.check(configure(str(tmp_path / "part-[0].parquet")))
    assert str(bad) in refusal(configure(str(tmp_path / "part-*.parquet")))
    assert refusal(configure(str(tmp_path / "x-*.parquet"))).endswith("x-*.parquet: no such file")


def test_a_file_at_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "train.parquet", [row()])
    data.check(configure("~/train.parquet"))


@pytest.mark.parametrize("name", ["train.csv", "hdfs://cluster/data/train"])
def test_files_that_verl_does_not_read_are_refused(name: str) -> None:
    assert refusal(configure(name)) == f"data.train_files={name}: verl reads .parquet, .json, .jsonl files"


@pytest.mark.parametrize(("name", "write_rows"), [("a.jsonl", False), ("a.json", True)])
def test_json_is_checked_where_arrow_can_read_it(tmp_path: Path, name: str, write_rows: bool) -> None:
    rows = [row(), row(None)]
    (tmp_path / name).write_text(json.dumps(rows, indent=1) if write_rows else "\n".join(map(json.dumps, rows)))
    config = configure(str(tmp_path / name))
    if write_rows:
        data.check(config)
    else:
        assert "1 rows have no prompt; the first is row 1" in refusal(config)


def test_a_class_of_the_users_reads_what_it_likes() -> None:
    data.check(configure("kept/nowhere", custom_cls={"path": "mine.py", "name": "Mine"}))


@pytest.mark.parametrize("options", [{"seed": 1}, {"shuffle": False}, {"train_max_samples": -1}])
def test_a_sample_of_the_rows_needs_a_seed(tmp_path: Path, options: dict[str, Any]) -> None:
    file = str(write(tmp_path / "train.parquet", [row()]))
    with pytest.raises(ConfigError, match=r"data.train_max_samples=100: .* set data.seed to any number"):
        data.check(configure(file, train_max_samples=100))
    data.check(configure(file, **{"train_max_samples": 100, **options}))
