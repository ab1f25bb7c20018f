"""The pool of distinct prompts."""

import logging
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from verl_spo.errors import DataError
from verl_spo.training.prompts.identity import Fields
from verl_spo.training.prompts.pool import PromptPool


def row(question: Any, answer: Any = "2", **columns: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    truth = {"style": "rule", "ground_truth": answer}
    return {"data_source": "arithmetic", "prompt": messages, "reward_model": truth, **columns}


def test_equal_rows_share_a_slot_and_the_first_is_dispatched() -> None:
    pool = PromptPool([row("1+1"), row("1+2", "3"), row("1+1")])
    assert len(pool) == 2
    assert np.array_equal(pool.rows, [0, 1])


def test_a_question_about_five_images_is_five_prompts() -> None:
    rows = [row("<image>What is it?", images=[{"bytes": bytes([number]), "path": None}]) for number in range(5)]
    assert len(PromptPool(rows)) == len(PromptPool(Dataset.from_list(rows))) == 5


def test_five_seeds_of_an_environment_are_five_prompts() -> None:
    rows = [row("Play.", extra_info={"tools_kwargs": {"game": {"create_kwargs": {"seed": n}}}}) for n in range(5)]
    assert len(PromptPool(rows)) == len(PromptPool(Dataset.from_list(rows))) == 5


@pytest.mark.parametrize("kind", [list, Dataset.from_list])
def test_many_rows_that_would_get_lost_are_an_error_with_an_example(kind: Any) -> None:
    rows = kind([row("Play.", extra_info={"index": n, "seed": n}) for n in range(5)])
    with pytest.raises(DataError) as caught:
        PromptPool(rows)
    assert str(caught.value) == (
        "data.train_files: 4 rows count as repetitions of others but differ from them: in row 0 extra_info.seed is 0, "
        "in row 1 it is 1. If that makes another prompt, name it in spo.identity_fields; if nothing does, set "
        "spo.identity_fields=[]"
    )
    assert len(PromptPool(rows, Fields(further=("seed",)))) == 5
    assert len(PromptPool(rows, Fields(further=()))) == 1


def test_a_published_set_that_repeats_its_rows_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """As DAPO-Math-17k does, each row about a hundred times."""
    notes = [{"index": number, "split": "train"} for number in range(300)]
    rows = [row(f"1+{number % 3}", ability="MATH", extra_info=notes[number]) for number in range(300)]
    assert len(PromptPool(Dataset.from_list(rows))) == 3
    assert caplog.messages == ["data.train_files: 300 rows, 3 distinct prompts"]


def test_a_few_repetitions_with_another_note_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    rows = [row(f"1+{number % 20}", extra_info={"book": "A" if number < 20 else "B"}) for number in range(22)]
    assert len(PromptPool(rows)) == 20
    assert caplog.messages[1:] == [
        "data.train_files: 2 rows count as repetitions of others but differ from them: in row 0 extra_info.book is "
        "'A', in row 20 it is 'B' (spo.identity_fields)"
    ]


@pytest.mark.parametrize("kind", [list, Dataset.from_list])
def test_a_field_that_no_row_has_is_refused(kind: Any) -> None:
    rows = kind([row("1+1", ability="MATH", extra_info={"index": 1, "seed": 2})])
    with pytest.raises(DataError) as caught:
        PromptPool(rows, Fields(further=("sede",)))
    assert str(caught.value) == (
        "spo.identity_fields: no row of data.train_files has 'sede'; rows have ability, extra_info.seed, "
        "reward_model.style"
    )


def test_identity_does_not_depend_on_row_order() -> None:
    rows = [row("1+1"), row("1+2", "3")]
    assert set(PromptPool(rows).digests) == set(PromptPool(rows[::-1]).digests)


def test_the_fingerprint_knows_the_order_of_slots() -> None:
    rows = [row("1+1"), row("1+2", "3")]
    assert PromptPool(rows).fingerprint() == PromptPool(list(rows)).fingerprint()
    assert PromptPool(rows).fingerprint() != PromptPool(rows[::-1]).fingerprint()


@pytest.mark.parametrize("kind", [list, Dataset.from_list])
def test_records_stand_in_slot_order(kind: Any) -> None:
    pool = PromptPool(kind([row("1+1"), row("1+1"), row("1+2", "3")]))
    found = [(record.ground_truth, record.messages[0]["content"]) for record in pool.records()]
    assert found == [("2", "1+1"), ("3", "1+2")]
    assert [record.digest for record in pool.records()] == pool.digests


def test_a_message_of_parts_is_its_text() -> None:
    parts = [{"type": "image", "image": b"picture"}, {"type": "text", "text": "What is it?"}]
    pool = PromptPool([row(parts, {"is": ["a cat"]})])
    assert pool.name(0) == "'What is it?'"
    (record,) = pool.records()
    assert record.messages[0]["content"][1] == parts[1]
    assert set(record.messages[0]["content"][0]["image"]) == {"blake2b"}
    assert record.ground_truth == '{"is": ["a cat"]}'


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "no prompts left"), ([row("1"), {"prompt": [], "reward_model": {}}], "row 1 has no prompt")],
)
def test_unusable_data_is_refused(rows: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PromptPool(rows)


def test_names_are_short() -> None:
    assert len(PromptPool([row("why " * 100)]).name(0)) <= 80
