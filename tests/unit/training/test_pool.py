"""Prompt identity and the pool."""

import numpy as np
import pytest

from verl_spo.errors import DataError
from verl_spo.training.pool import DIGEST_BYTES, PromptPool, prompt_digest


def row(question: str, answer: str, source: str = "arithmetic", system: str | None = None) -> dict:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": question})
    return {"data_source": source, "prompt": messages, "reward_model": {"style": "rule", "ground_truth": answer}}


def test_equal_rows_share_a_slot_and_the_first_is_dispatched() -> None:
    pool = PromptPool([row("1+1", "2"), row("1+2", "3"), row("1+1", "2")])
    assert len(pool) == 2
    assert np.array_equal(pool.rows, [0, 1])


@pytest.mark.parametrize(
    "other",
    [row("1+2", "2"), row("1+1", "3"), row("1+1", "2", source="other"), row("1+1", "2", system="be brief")],
)
def test_source_messages_and_truth_all_make_the_identity(other: dict) -> None:
    assert len(PromptPool([row("1+1", "2"), other])) == 2


def test_identity_does_not_depend_on_row_order_or_key_order() -> None:
    rows = [row("1+1", "2"), row("1+2", "3")]
    assert set(PromptPool(rows).digests) == set(PromptPool(rows[::-1]).digests)
    messages = [{"role": "user", "content": "x"}]
    assert prompt_digest("s", messages, "1") == prompt_digest("s", [{"content": "x", "role": "user"}], "1")
    assert len(prompt_digest("s", messages, "1")) == DIGEST_BYTES


def test_the_fingerprint_knows_the_order_of_slots() -> None:
    rows = [row("1+1", "2"), row("1+2", "3")]
    assert PromptPool(rows).fingerprint() == PromptPool(list(rows)).fingerprint()
    assert PromptPool(rows).fingerprint() != PromptPool(rows[::-1]).fingerprint()


def test_records_stand_in_slot_order() -> None:
    records = list(PromptPool([row("1+1", "2"), row("1+1", "2"), row("1+2", "3")]).records())
    assert [(record.ground_truth, record.messages[0]["content"]) for record in records] == [("2", "1+1"), ("3", "1+2")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no prompts left"),
        ([{"prompt": [], "reward_model": {"ground_truth": "1"}}], "row 0 has no prompt"),
        ([row("1", "1"), {"prompt": [{"role": "user", "content": "x"}]}], "row 1 has no reward_model.ground_truth"),
    ],
)
def test_unusable_data_is_refused(rows: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PromptPool(rows)


def test_names_are_short() -> None:
    assert len(PromptPool([row("why " * 100, "1")]).name(0)) <= 80
