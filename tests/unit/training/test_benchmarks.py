"""Which sample of which problem a row of a validation set asks for."""

from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from verl_spo.errors import DataError
from verl_spo.training.benchmarks import Labelled, label, relabel
from verl_spo.training.seeding import FIELD

DATA = DictConfig({"image_key": "images", "video_key": "videos", "audio_key": "audios"})


def row(text: str, truth: str = "2", source: str = "aime_2024", **more: Any) -> dict[str, Any]:
    """A row as verl's data set gives it."""
    return {
        "raw_prompt": [{"role": "user", "content": text}],
        "data_source": source,
        "reward_model": {"ground_truth": truth},
        "extra_info": {"index": 0},
        **more,
    }


def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.array([row[name] for row in rows], dtype=object) for name in rows[0]}


ROWS = [row("1+1="), row("2+2=", "4"), row("1+1="), row("1+1=", source="brumo_2025"), row("1+1=", "10")]


def test_each_source_is_a_benchmark_of_its_distinct_problems() -> None:
    labelled = Labelled(ROWS, DATA)
    aime, brumo = labelled.benchmarks.values()
    assert (aime.name, brumo.name) == ("aime_2024", "brumo_2025")
    assert [problem.ground_truth for problem in aime.problems] == ["2", "4", "10"]
    assert aime.rows == [[0, 2], [1], [4]]
    assert brumo.rows == [[3]]
    assert len({problem.digest for each in (aime, brumo) for problem in each.problems}) == 4


def test_a_row_says_which_problem_it_asks_and_which_repetition_it_is() -> None:
    labelled = Labelled(ROWS, DATA)
    labels = [labelled[number][FIELD] for number in range(len(ROWS))]
    assert [labelled.place_of(each) for each in labels] == [
        ("aime_2024", 0, 0),
        ("aime_2024", 1, 0),
        ("aime_2024", 0, 1),
        ("brumo_2025", 0, 0),
        ("aime_2024", 2, 0),
    ]
    assert labels[2] == label(labelled.benchmarks["aime_2024"].problems[0].digest.hex(), 1)


def test_labels_are_those_of_the_set_whatever_the_order_and_the_batches() -> None:
    labelled = Labelled(ROWS, DATA)
    in_order = relabel(DataLoader(ROWS, batch_size=2, collate_fn=collate), labelled)
    shuffled = relabel(DataLoader(ROWS, batch_size=3, shuffle=True, collate_fn=collate), labelled)
    first, second = ([each for batch in loader for each in batch[FIELD]] for loader in (in_order, shuffled))
    assert first == [labelled[number][FIELD] for number in range(len(ROWS))]
    assert sorted(second) == sorted(first)
    assert len(set(first)) == len(ROWS)


def test_what_tells_rows_apart_in_training_does_so_here() -> None:
    seeded = [row("play", extra_info={"tools_kwargs": {"seed": seed}}) for seed in (1, 2)]
    assert len(Labelled(seeded, DATA).benchmarks["aime_2024"].problems) == 2


def test_a_row_without_a_prompt_is_refused() -> None:
    with pytest.raises(DataError, match="row 0 has no prompt"):
        Labelled([{**ROWS[0], "raw_prompt": []}], DATA)
