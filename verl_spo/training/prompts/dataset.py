"""verl's training set as the pool reads it."""

from dataclasses import replace
from typing import Any

from omegaconf import DictConfig
from verl.utils.dataset.rl_dataset import RLHFDataset

from verl_spo.training.prompts.identity import Fields


def pool_source(dataset: Any, data: DictConfig, further: tuple[str, ...] | None) -> tuple[Any, Fields]:
    """What `PromptPool` takes: rows, and where the parts of a prompt stand in them.

    verl's own class makes its rows from its table alone (verl/utils/dataset/rl_dataset.py:386), and a table is read
    fast. Of a class of the user's (`data.custom_cls`), which may have none, the rows themselves are asked for.

    Args:
        dataset: verl's training set.
        data: verl's `data` group.
        further: `spo.identity_fields`.
    """
    fields, kind = Fields.of(data, further), type(dataset)
    if kind.__getitem__ is RLHFDataset.__getitem__ and kind._build_messages is RLHFDataset._build_messages:
        return dataset.dataframe, fields
    return dataset, replace(fields, messages="raw_prompt")
