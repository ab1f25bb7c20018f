"""The data, as far as it can be seen from here: files with prompts and ground truths, and enough prompts."""

import math
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from omegaconf import DictConfig
from pyarrow.json import read_json

from verl_spo.errors import ConfigError, DataError
from verl_spo.training.verl_options import FILE_FORMATS, data_files, has_own_dataset


def check_pool_size(prompts: int, config: DictConfig) -> None:
    """Prompts are drawn without replacement: the pool must hold all that are in flight at once."""
    batch_size, mode = config.data.train_batch_size, config.trainer.v1.trainer_mode.removeprefix("spo_")
    warmup = float((config.trainer.v1.get(mode) or {}).get("num_warmup_batches", 0))
    needed = batch_size + math.floor(warmup * batch_size)
    if prompts < needed:
        ahead = f" and trainer.v1.{mode}.num_warmup_batches={warmup:g} more run ahead" if warmup else ""
        raise ConfigError(
            f"data.train_batch_size={batch_size}: a batch is drawn without replacement{ahead}, which takes {needed} "
            f"distinct prompts, but the pool has only {prompts}; set less, or add data"
        )


def check(config: DictConfig) -> None:
    """Check the options and the files of the `data` group.

    Raises:
        ConfigError: A resumed run would have other rows.
        DataError: A file is missing, empty or lacks what verl or its rewards need.
    """
    _check_sample(config)
    _check_files(config, "train_files")
    check_validation(config)


def check_validation(config: DictConfig) -> None:
    """Check the files of `data.val_files` alone.

    Raises:
        DataError: A file is missing, empty or lacks what verl or its rewards need.
    """
    _check_files(config, "val_files")


def _check_files(config: DictConfig, split: str) -> None:
    for option, table in tables(config, split):
        _check_table(option, table, config)


def _check_sample(config: DictConfig) -> None:
    """verl draws the rows from a generator of this seed, or of none (verl/utils/dataset/rl_dataset.py:188)."""
    rows, data = config.data.get("train_max_samples", -1), config.data
    if rows > 0 and data.shuffle and data.get("seed") is None:
        raise ConfigError(
            f"data.train_max_samples={rows}: without a seed verl takes other rows at every start, and a run could not "
            "be resumed; set data.seed to any number, or data.shuffle=False for the first rows"
        )


def tables(config: DictConfig, split: str) -> Iterator[tuple[str, Any]]:
    """The files of `data.train_files` or `data.val_files` that Arrow can read here, by the option that names them.

    Raises:
        DataError: There is no file, or it is not of a format that verl reads.
    """
    # A class of the user's reads what it likes.
    if has_own_dataset(config):
        return
    names = data_files(config, split)
    if not names:
        raise DataError(
            f"data.{split}={config.data[split]!r}: must name at least one {', '.join(FILE_FORMATS)} file, or a folder "
            "that has some"
        )
    for name in names:
        for file in _local_files(f"data.{split}={name}", name):
            if (table := _table(file)) is not None:
                yield f"data.{split}={file}", table


def _local_files(option: str, name: str) -> list[str]:
    """The files that a name or pattern means; none where they are elsewhere (hdfs://, s3://) and only verl can look."""
    if not name.endswith(FILE_FORMATS):
        raise DataError(f"{option}: verl reads {', '.join(FILE_FORMATS)} files")
    if "://" in name:
        return []
    found = [name] if Path(name).is_file() else sorted(glob(name))
    if not found:
        raise DataError(f"{option}: no such file")
    return found


def _table(file: str) -> Any:
    """What to look at; None for JSON that Arrow cannot read, but verl can: arrays, columns of several types."""
    if file.endswith(".parquet"):
        return ds.dataset(file, format="parquet")
    try:
        return ds.dataset(read_json(file))
    except pa.ArrowInvalid:
        return None


def _check_table(option: str, data: Any, config: DictConfig) -> None:
    prompt_key, truths_read = config.data.prompt_key, _reads_truths(config)
    for column in (prompt_key, *(("data_source", "reward_model") if truths_read else ())):
        if column not in data.schema.names:
            raise DataError(f"{option}: no column {column!r}; it has {', '.join(data.schema.names)}")
    if data.count_rows() == 0:
        raise DataError(f"{option}: the file has no rows")
    _check_prompts(option, prompt_key, data)
    if truths_read:
        _check_truths(option, data, config)


def _reads_truths(config: DictConfig) -> bool:
    """Whether rewards surely come from `data_source` and `reward_model.ground_truth`.

    verl's reward managers read both (verl/experimental/reward_loop/reward_manager/naive.py:43). A reward model alone
    (reward_loop.py:151), a manager of the user's, or an agent loop of theirs that brings its rewards along
    (agent_loop.py:972) may do without.
    """
    reward, agent = config.reward, config.actor_rollout_ref.rollout.agent
    model_alone = reward.reward_model.enable and reward.custom_reward_function.path is None
    return bool(reward.reward_manager.source == "register" and not model_alone and not agent.agent_loop_config_path)


def _check_prompts(option: str, prompt_key: str, data: Any) -> None:
    kind = data.schema.field(prompt_key).type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise DataError(f"{option}: column {prompt_key!r} holds {kind}; it must hold lists of chat messages")
    messages = data.to_table(columns=[prompt_key])[prompt_key]
    _refuse(option, "prompt", pc.equal(pc.fill_null(pc.list_value_length(messages), 0), 0))


def _check_truths(option: str, data: Any, config: DictConfig) -> None:
    """Only a reward function of the user's may do without a value."""
    kind = data.schema.field("reward_model").type
    if not pa.types.is_struct(kind) or kind.get_field_index("ground_truth") < 0:
        raise DataError(f"{option}: column 'reward_model' holds {kind}; it must have an entry 'ground_truth'")
    if config.reward.custom_reward_function.path is None:
        truths = data.to_table(columns={"truth": ds.field("reward_model", "ground_truth")})["truth"]
        is_text = pa.types.is_string(truths.type) or pa.types.is_large_string(truths.type)
        _refuse(
            option,
            "reward_model.ground_truth",
            pc.equal(pc.fill_null(truths, ""), "") if is_text else pc.is_null(truths),
        )


def _refuse(option: str, what: str, missing: Any) -> None:
    if rows := pc.sum(missing).as_py():
        raise DataError(f"{option}: {rows} rows have no {what}; the first is row {pc.index(missing, True).as_py()}")
