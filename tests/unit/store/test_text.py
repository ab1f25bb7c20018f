"""Text, made storable and found again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.store.search import Part, parse
from verl_spo.store.text import clean, pack_rollout, question, searchable, unpack_rollout

USER = {"role": "user", "content": "What is 1 + 1?"}
SYSTEM = {"role": "system", "content": "Be brief."}
PARTS = {
    "role": "user",
    "content": [{"type": "image"}, {"type": "text", "text": "Which"}, {"type": "text", "text": "one?"}],
}


@given(st.text(alphabet=st.characters(codec=None)))
def test_cleaned_text_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned
    assert len(cleaned) == len(text)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([SYSTEM, USER], "What is 1 + 1?"),
        ([USER, {"role": "assistant", "content": "2"}], "What is 1 + 1?"),
        ([SYSTEM], "Be brief."),
        ([PARTS], "Which\none?"),
        ([{"role": "user", "content": None}], ""),
        ([], ""),
    ],
)
def test_the_question_is_what_the_user_asked_last(messages: list[dict[str, object]], expected: str) -> None:
    assert question(messages) == expected


def test_what_many_prompts_share_is_not_searched() -> None:
    assert searchable([SYSTEM, USER], "2") == "What is 1 + 1?\n2"


@given(st.none() | st.text(), st.none() | st.text())
def test_a_rollout_comes_back(prompt: str | None, response: str | None) -> None:
    cleaned = tuple(None if text is None else clean(text) for text in (prompt, response))
    assert unpack_rollout(pack_rollout(prompt, response)) == cleaned


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ()),
        ("?! --", ()),
        ("Two words", (Part(("two",), False), Part(("words",), False))),
        ("12+34", (Part(("12", "34"), False),)),
        ('"the sum" of*', (Part(("the", "sum"), False), Part(("of",), True))),
        ('"the su"*', (Part(("the", "su"), True),)),
        ('"open', (Part(("open",), False),)),
        ("snake_case", (Part(("snake", "case"), False),)),
    ],
)
def test_a_query_is_parts_of_words(query: str, expected: tuple[Part, ...]) -> None:
    assert parse(query) == expected
