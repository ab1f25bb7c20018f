"""What makes a row another prompt, and what does not."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from verl_spo.errors import DataError
from verl_spo.training.prompts.identity import DIGEST_BYTES, Fields, canonical, ignored, prompt_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def row(**changes: Any) -> dict[str, Any]:
    """A row as verl's parquet files have it."""
    plain = {
        "data_source": "geometry",
        "prompt": [{"role": "user", "content": "<image>How many sides?"}],
        "reward_model": {"style": "rule", "ground_truth": "3"},
        "extra_info": {"index": 7, "split": "train"},
    }
    return {**plain, **changes}


def digest(fields: Fields | None = None, **changes: Any) -> bytes:
    return prompt_of(row(**changes), fields or Fields(), 0).digest


def image(colour: int, mode: str = "L") -> Image.Image:
    return Image.new(mode, (4, 4), colour)


def say(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def extra(**entries: Any) -> dict[str, Any]:
    return {"index": 7, "split": "train", **entries}


def test_a_text_keeps_the_identity_that_databases_know() -> None:
    known = ["geometry", [{"content": "<image>How many sides?", "role": "user"}], "3"]
    text = json.dumps(known, separators=(",", ":"))
    assert digest() == blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


OTHERS: list[dict[str, Any]] = [
    {},
    {"data_source": "other"},
    {"prompt": say("<image>How many corners?")},
    {"prompt": [{"role": "system", "content": "Be brief."}, *row()["prompt"]]},
    {"prompt": say([{"type": "text", "text": "How many sides?"}])},
    {"prompt": say([{"type": "image", "image": "a.png"}, {"type": "text", "text": "How many sides?"}])},
    {"prompt": say([{"type": "image", "image": "b.png"}, {"type": "text", "text": "How many sides?"}])},
    {"prompt": say([{"type": "image", "image": image(1)}])},
    {"prompt": say([{"type": "image", "image": image(2)}])},
    {"prompt": say([{"type": "image", "image": "data:image/png;base64,AAAA"}])},
    {"prompt": say([{"type": "image", "image": "data:image/png;base64,BBBB"}])},
    {"images": [{"bytes": b"one", "path": None}]},
    {"images": [{"bytes": b"two", "path": None}]},
    {"images": [{"bytes": b"one", "path": None}, {"bytes": b"two", "path": None}]},
    {"images": [{"bytes": b"one", "path": None, "max_pixels": 100}]},
    {"images": [{"path": "one.png"}]},
    {"images": ["two.png"]},
    {"images": [image(1)]},
    {"images": [image(2)]},
    {"images": [image(1).resize((2, 8))]},
    {"videos": [{"video": "film.mp4", "fps": 2}]},
    {"videos": [{"video": "film.mp4", "fps": 4}]},
    {"videos": [torch.zeros(3, 64, 64)]},
    {"videos": [torch.ones(3, 64, 64)]},
    {"audios": [{"bytes": b"one"}]},
    {"reward_model": {"ground_truth": "4"}},
    {"reward_model": {"ground_truth": 3}},
    {"reward_model": {"ground_truth": ["3", "three"]}},
    {"reward_model": {"ground_truth": {"value": 3}}},
    {"reward_model": {"ground_truth": np.array([3, 4])}},
    {"reward_model": None},
    {"extra_info": extra(tools_kwargs={"board": {"create_kwargs": {"seed": 1}}})},
    {"extra_info": extra(tools_kwargs={"board": {"create_kwargs": {"seed": 2}}})},
    {"extra_info": extra(interaction_kwargs={"name": "maze", "seed": 1})},
    {"extra_info": extra(tool_selection=["board"])},
    {"tools_kwargs": {"board": {"create_kwargs": {"seed": 3}}}},
    {"agent_name": "tool_agent"},
]


def test_all_that_the_model_its_tools_and_the_reward_see_makes_the_identity() -> None:
    known: dict[bytes, dict[str, Any]] = {}
    for changes in OTHERS:
        assert known.setdefault(digest(**changes), changes) is changes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"extra_info": extra(index=8)}),
        ({}, {"extra_info": extra(split="test", answer="3")}),
        ({}, {"ability": "maths", "index": 3, "dummy_tensor": torch.zeros(1)}),
        ({}, {"images": None, "videos": [], "agent_name": None, "extra_info": extra(tools_kwargs={})}),
        ({}, {"extra_info": None}),
        ({}, {"prompt": [{"content": "<image>How many sides?", "role": "user", "name": None}]}),
        ({}, {"prompt": np.array(row()["prompt"], dtype=object)}),
        ({"images": [{"bytes": b"one", "path": "a/1.png"}]}, {"images": [{"bytes": b"one", "path": "b/1.png"}]}),
        ({"images": [image(1)]}, {"images": [image(1)]}),
        ({"reward_model": {"ground_truth": [3, 4]}}, {"reward_model": {"ground_truth": np.array([3, 4])}}),
        ({"reward_model": {"ground_truth": 3}}, {"reward_model": {"ground_truth": np.int32(3)}}),
        ({"reward_model": {"ground_truth": {"a": 1}}}, {"reward_model": {"ground_truth": {"a": 1, "b": None}}}),
        ({"tools_kwargs": {"seed": 1}}, {"extra_info": extra(tools_kwargs={"seed": 1})}),
    ],
)
def test_what_nobody_sees_does_not_make_another_prompt(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert digest(**one) == digest(**other)


def test_an_option_names_what_makes_another_prompt_too() -> None:
    seeds = [{"extra_info": extra(seed=seed)} for seed in (0, 1)]
    assert digest(**seeds[0]) == digest(**seeds[1])
    fields = Fields(further=("seed",))
    assert digest(fields, **seeds[0]) != digest(fields, **seeds[1])
    assert digest(fields, extra_info=extra(seed=None)) == digest()
    assert digest(Fields(further=("board",)), board="x") != digest(Fields(further=("board",)), board="y")
    style = Fields(further=("reward_model.style",))
    assert digest(style) != digest(style, reward_model={"style": "model", "ground_truth": "3"})


def test_columns_have_the_names_that_verl_was_given() -> None:
    names = {"prompt_key": "chat", "image_key": "pictures", "video_key": "films", "audio_key": "sounds"}
    fields = Fields.of(OmegaConf.create(names), further=None)
    chat = {"chat": say("What is it?"), "images": ["ignored.png"]}
    prompts = [prompt_of({**chat, **media}, fields, 0) for media in ({"pictures": ["a.png"]}, {"films": ["a.mp4"]})]
    assert [prompt.further for prompt in prompts] == [{"images": ["a.png"]}, {"videos": ["a.mp4"]}]
    assert prompts[0].text == "What is it?"


@given(JSON)
def test_a_json_value_is_its_own_form_but_for_empty_entries(value: Any) -> None:
    form = canonical(value)
    assert canonical(form) == form
    assert json.loads(json.dumps(form)) == form
    if "null" not in json.dumps(value):
        assert form == value


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_media_are_as_different_as_their_bytes(one: bytes, other: bytes) -> None:
    assert (canonical(one) == canonical(memoryview(other))) == (one == other)


def test_what_has_a_text_is_that_text() -> None:
    values = [Path("a.png"), Decimal("1.50"), datetime(2026, 1, 2, tzinfo=UTC)]
    assert canonical(values) == ["a.png", "1.50", "2026-01-02 00:00:00+00:00"]


def test_a_value_that_is_another_one_at_every_start_is_refused() -> None:
    with pytest.raises(DataError, match="a prompt holds a value of type object, of which SPO cannot tell"):
        prompt_of(row(agent_name=object()), Fields(), 0)
    assert ignored(row(environment=object()), Fields())["environment"] == "object"


def test_what_a_row_says_beyond_its_prompt() -> None:
    said = ignored(row(ability="maths", extra_info=extra(seed=3, tools_kwargs={"a": 1})), Fields())
    assert said == {"reward_model.style": "rule", "extra_info.split": "train", "extra_info.seed": 3, "ability": "maths"}


@pytest.mark.parametrize("messages", [None, [], "How many sides?", ["How many sides?"]])
def test_a_row_without_chat_messages_is_named(messages: Any) -> None:
    with pytest.raises(DataError, match="row 12 has no prompt: column 'prompt' must hold chat messages"):
        prompt_of(row(prompt=messages), Fields(), 12)


@pytest.mark.parametrize(
    ("truth", "expected"),
    [("3", "3"), (3, "3"), (["3", "three"], '["3", "three"]'), ({"value": 3}, '{"value": 3}'), (None, "")],
)
def test_the_ground_truth_can_be_read(truth: Any, expected: str) -> None:
    assert prompt_of(row(reward_model={"ground_truth": truth}), Fields(), 0).truth_text == expected
