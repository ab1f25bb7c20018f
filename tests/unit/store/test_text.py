"""Text, made storable and found again."""

import dataclasses

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.store import text
from verl_spo.store.search import Part, matcher, parse
from verl_spo.store.text import clean, pack_rollout, question, searchable, unpack_rollout

USER = {"role": "user", "content": "What is 1 + 1?"}
SYSTEM = {"role": "system", "content": "Be brief."}
PARTS = {
    "role": "user",
    "content": [{"type": "image"}, {"type": "text", "text": "Which"}, {"type": "text", "text": "one?"}],
}


@given(st.text(alphabet=st.characters(codec=None)))
def test_cleaned_text_can_be_stored(content: str) -> None:
    cleaned = clean(content)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned
    assert len(cleaned) == len(content)


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
    assert unpack_rollout(pack_rollout(prompt, response)) == (*cleaned, ())


@given(
    st.lists(st.builds(text.Part, st.sampled_from(["model", "environment"]), st.integers(0, 9), st.text()), min_size=1)
)
def test_a_session_comes_back_with_its_parts(parts: list[text.Part]) -> None:
    kept = tuple(dataclasses.replace(part, text=clean(part.text)) for part in parts)
    assert unpack_rollout(pack_rollout("a", "b", parts)) == ("a", "b", kept)


def test_a_rollout_of_before_there_were_parts_is_read() -> None:
    assert unpack_rollout(zstandard.compress(b'["a", null]')) == ("a", None, ())


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


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("sum", True),
        ("SUM two", True),
        ("su", False),
        ("su*", True),
        ('"the sum"', True),
        ('"sum the"', False),
        ("12+34", True),
        ("2+34", False),
        ("12+3", False),
        ("12+3*", True),
        ("nowhere sum", False),
        ("größe", True),
    ],
)
def test_words_are_found_in_a_text_that_no_index_knows(query: str, matches: bool) -> None:
    assert matcher(parse(query))("Compute the_Sum of two numbers: 12 + 34; Größe.") is matches


def test_a_word_is_found_at_the_end_of_a_long_text() -> None:
    assert matcher(parse("needle"))("hay " * 250_000 + "needle")
