"""A prompt set of additions, from trivial to hard, in verl's parquet format.

All prompts of a set are distinct, and its training and validation parts are one draw, split evenly over difficulty: the
same distribution, nothing in common. The same sizes and seed give the same files.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from os import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from verl_spo.demo.problems import Problem, draw_problems
from verl_spo.errors import DataError

DATA_SOURCE = "arithmetic"
TRAIN_FILE = "train.parquet"
VALIDATION_FILE = "validation.parquet"
MAX_PROMPTS = 100_000

_SCHEMA = pa.schema(
    {
        "data_source": pa.string(),
        "prompt": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "ability": pa.string(),
        "reward_model": pa.struct({"style": pa.string(), "ground_truth": pa.string()}),
        "extra_info": pa.struct(
            {"split": pa.string(), "index": pa.int64(), "left": pa.int64(), "right": pa.int64(), "carries": pa.int64()}
        ),
    }
)


@dataclass(frozen=True)
class PromptSet:
    """Distinct problems, in two parts that have none in common."""

    train: tuple[Problem, ...]
    validation: tuple[Problem, ...]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that change with any prompt, its part or its place."""
        return blake2b(json.dumps([self.rows("train"), self.rows("validation")]).encode(), digest_size=16).hexdigest()

    def rows(self, split: str) -> list[dict[str, Any]]:
        """verl's rows of a part, `train` or `validation`."""
        return [_row(problem, split, index) for index, problem in enumerate(getattr(self, split))]


def make_prompt_set(train: int = 1024, validation: int = 256, seed: int = 0) -> PromptSet:
    """A prompt set of these sizes.

    Raises:
        DataError: a part would be empty, the set larger than `MAX_PROMPTS`, or the seed is negative.
    """
    for option, size in (("--train", train), ("--validation", validation)):
        if size < 1:
            raise DataError(f"{option} {size}: at least 1 prompt is needed")
    if train + validation > MAX_PROMPTS:
        raise DataError(f"--train {train} + --validation {validation}: at most {MAX_PROMPTS} prompts in all")
    if seed < 0:
        raise DataError(f"--seed {seed}: must be 0 or more")
    rng = np.random.default_rng(seed)
    return _split(_draw_distinct(rng, train + validation), validation, rng)


def write_prompt_set(prompts: PromptSet, folder: Path) -> None:
    """Write both parts as parquet files into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, name in (("train", TRAIN_FILE), ("validation", VALIDATION_FILE)):
        unfinished = folder / f"{name}.unfinished"
        pq.write_table(pa.Table.from_pylist(prompts.rows(split), schema=_SCHEMA), unfinished)
        replace(unfinished, folder / name)


def read_prompt_set(folder: Path) -> PromptSet:
    """The prompt set that `write_prompt_set` wrote.

    Raises:
        DataError: a file is missing, or is not an arithmetic prompt set.
    """
    return PromptSet(train=_read(folder / TRAIN_FILE), validation=_read(folder / VALIDATION_FILE))


def _draw_distinct(rng: np.random.Generator, count: int) -> list[Problem]:
    distinct: dict[Problem, None] = {}
    while len(distinct) < count:
        distinct.update(dict.fromkeys(draw_problems(rng, count)))
    return list(islice(distinct, count))


def _split(problems: list[Problem], validation: int, rng: np.random.Generator) -> PromptSet:
    """Validation takes every k-th problem in the order of difficulty, so that both parts are equally hard."""
    rng.shuffle(problems)
    problems.sort(key=lambda problem: (problem.carries, problem.digits))
    taken = {(2 * i + 1) * len(problems) // (2 * validation) for i in range(validation)}
    parts = [problem for i, problem in enumerate(problems) if i not in taken], [problems[i] for i in sorted(taken)]
    for part in parts:
        rng.shuffle(part)
    return PromptSet(*map(tuple, parts))


def _row(problem: Problem, split: str, index: int) -> dict[str, Any]:
    return {
        "data_source": DATA_SOURCE,
        "prompt": [{"role": "user", "content": problem.question}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {
            "split": split,
            "index": index,
            "left": problem.left,
            "right": problem.right,
            "carries": problem.carries,
        },
    }


def _read(file: Path) -> tuple[Problem, ...]:
    remedy = "write it with `verl-spo data arithmetic`"
    if not file.is_file():
        raise DataError(f"{file}: there is no such file; {remedy}")
    try:
        table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: not a parquet file; {remedy}") from error
    if not table.schema.equals(_SCHEMA) or not len(table):
        raise DataError(f"{file}: not an arithmetic prompt set; {remedy}")
    return tuple(Problem(info["left"], info["right"]) for info in table.column("extra_info").to_pylist())
