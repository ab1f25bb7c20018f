from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verl_spo.demo.arithmetic import (
    MAX_PROMPTS,
    TRAIN_FILE,
    VALIDATION_FILE,
    PromptSet,
    make_prompt_set,
    read_prompt_set,
    write_prompt_set,
)
from verl_spo.demo.problems import Problem
from verl_spo.errors import DataError


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32))
def test_sizes_are_exact_and_prompts_distinct(train, validation, seed):
    prompts = make_prompt_set(train, validation, seed)
    assert (len(prompts.train), len(prompts.validation)) == (train, validation)
    questions = [problem.question for problem in prompts.train + prompts.validation]
    assert len(set(questions)) == train + validation


def test_the_same_seed_gives_the_same_files(tmp_path):
    for folder in ("one", "two"):
        write_prompt_set(make_prompt_set(64, 16, seed=7), tmp_path / folder)
    for name in (TRAIN_FILE, VALIDATION_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == [TRAIN_FILE, VALIDATION_FILE]


def test_another_seed_gives_other_prompts():
    assert make_prompt_set(64, 16, seed=0).digest != make_prompt_set(64, 16, seed=1).digest


def test_the_digest_tells_prompts_parts_and_order():
    a, b, c = Problem(1, 2), Problem(2, 1), Problem(3, 1)
    prompts = PromptSet(train=(a, b), validation=(c,))
    others = [
        replace(prompts, train=(b, a)),
        replace(prompts, train=(a,), validation=(b, c)),
        replace(prompts, validation=(Problem(4, 1),)),
    ]
    assert len({prompts.digest, *(other.digest for other in others)}) == 4


def test_both_parts_are_equally_hard():
    prompts = make_prompt_set(1024, 256)
    for feature in ("carries", "digits"):
        train, validation = (
            np.bincount([getattr(problem, feature) for problem in part], minlength=5) / len(part)
            for part in (prompts.train, prompts.validation)
        )
        np.testing.assert_allclose(train, validation, atol=0.02)


def test_neither_part_is_sorted():
    prompts = make_prompt_set(512, 512)
    for part in (prompts.train, prompts.validation):
        half = len(part) // 2
        first, second = (np.mean([problem.carries for problem in p]) for p in (part[:half], part[half:]))
        assert abs(first - second) < 0.3


@pytest.mark.parametrize(
    ("sizes", "option"),
    [
        ({"train": 0}, "--train 0"),
        ({"validation": -1}, "--validation -1"),
        ({"train": MAX_PROMPTS}, f"at most {MAX_PROMPTS}"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_impossible_sizes_are_refused(sizes, option):
    with pytest.raises(DataError, match=option):
        make_prompt_set(**sizes)


def test_rows_have_the_form_that_verl_reads(tmp_path):
    write_prompt_set(PromptSet(train=(Problem(17, 245),), validation=(Problem(1, 1),)), tmp_path)
    assert pq.read_table(tmp_path / TRAIN_FILE).to_pylist() == [
        {
            "data_source": "arithmetic",
            "prompt": [{"role": "user", "content": "17+245="}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": "262"},
            "extra_info": {"split": "train", "index": 0, "left": 17, "right": 245, "carries": 1},
        }
    ]


def test_a_written_set_reads_back(tmp_path):
    prompts = make_prompt_set(40, 10)
    write_prompt_set(prompts, tmp_path / "new" / "folder")
    assert read_prompt_set(tmp_path / "new" / "folder") == prompts


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{TRAIN_FILE}.*verl-spo data arithmetic"):
        read_prompt_set(tmp_path)


@pytest.mark.parametrize("content", ["no parquet at all", "another table", "no rows"])
def test_other_files_are_refused(tmp_path, content):
    write_prompt_set(make_prompt_set(4, 4), tmp_path)
    file = tmp_path / VALIDATION_FILE
    if content == "no parquet at all":
        file.write_text("1+1=2")
    elif content == "another table":
        pq.write_table(pa.table({"question": ["1+1="]}), file)
    else:
        pq.write_table(pq.read_table(file).slice(0, 0), file)
    with pytest.raises(DataError, match=VALIDATION_FILE):
        read_prompt_set(tmp_path)


def test_verl_reads_the_files(tmp_path, tokenizer):
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset

    prompts = make_prompt_set(32, 8)
    write_prompt_set(prompts, tmp_path)
    config = OmegaConf.create({"max_prompt_length": 32, "cache_dir": str(tmp_path / "cache")})
    dataset = RLHFDataset([str(tmp_path / TRAIN_FILE)], tokenizer, config)
    assert len(dataset) == 32
    assert [row["raw_prompt"][0]["content"] for row in dataset] == [problem.question for problem in prompts.train]
    assert dataset[3]["reward_model"]["ground_truth"] == prompts.train[3].answer
    assert dataset[3]["index"] == 3
