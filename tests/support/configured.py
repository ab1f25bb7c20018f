"""The demo's recipe as verl sees it, on files as small as they may be."""

import pickle
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, open_dict

from verl_spo.launching import compose

RECIPE = "cpu/arithmetic_spo"


def row(content: str | None = "1+1", truth: str | None = "2") -> dict:
    """A row of a data file."""
    return {
        "data_source": "arithmetic",
        "prompt": [{"role": "user", "content": content}] if content else [],
        "reward_model": {"style": "rule", "ground_truth": truth},
    }


def make_files(folder: Path) -> None:
    """Make what the recipe wants to find."""
    (folder / "data").mkdir()
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    for name in ("train", "validation"):
        pq.write_table(pa.Table.from_pylist([row(), row("1+2", "3")]), folder / "data" / f"{name}.parquet")


def configure(demo_dir: Path, *overrides: str, recipe: str = RECIPE) -> DictConfig:
    """The recipe with `NAME=VALUE` overrides. Hydra composes it once: that takes seconds."""
    config = composed(recipe)
    with open_dict(config):
        config.merge_with_dotlist([f"demo_dir={demo_dir}", *overrides])
    return config


def composed(recipe: str) -> DictConfig:
    """A recipe as it is."""
    config: DictConfig = pickle.loads(_composed(recipe))
    return config


@cache
def _composed(recipe: str) -> bytes:
    """Pickled, because a deep copy takes six times as long."""
    return pickle.dumps(compose.load(recipe, []))
