"""Which prompt a row of the training set is: by all that the model, its tools and the reward see of it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from os import PathLike
from typing import Any

import numpy as np
from omegaconf import DictConfig
from PIL.Image import Image

from verl_spo.errors import DataError
from verl_spo.store.text import content_text

DIGEST_BYTES = 16
NESTED = ("reward_model", "extra_info")
"""Columns whose entries are looked at one by one, as `extra_info.seed`."""

# What verl's tool loop reads of extra_info (rl_dataset.py:403, tool_agent_loop.py:158); a data set class of the user's
# may hand it over as a column.
_OF_TOOLS = ("tools_kwargs", "interaction_kwargs", "tool_selection")
# They number rows, or are the same in all.
_MEANINGLESS = ("index", "extra_info.index", "__index_level_0__", "dummy_tensor")
_DATA_URL = re.compile(r"data:[\w.+/;=-]*;base64,[\w+/=-]+", re.ASCII)
_MEDIA_NUMBERS = 4096


@dataclass(frozen=True)
class Fields:
    """Where the parts of a prompt stand in a row.

    Attributes:
        messages: Column of the chat messages (`data.prompt_key`).
        images: Column of the images (`data.image_key`).
        videos: Column of the videos (`data.video_key`).
        audios: Column of the audios (`data.audio_key`).
        further: Entries of `extra_info`, or columns, that make another prompt too (`spo.identity_fields`); None where
            nobody has said.
    """

    messages: str = "prompt"
    images: str = "images"
    videos: str = "videos"
    audios: str = "audios"
    further: tuple[str, ...] | None = None

    @classmethod
    def of(cls, data: DictConfig, further: tuple[str, ...] | None) -> "Fields":
        """Those that verl's `data` group names."""
        return cls(data.prompt_key, data.image_key, data.video_key, data.audio_key, further)

    @cached_property
    def parts(self) -> dict[str, str]:
        """Leaves that not every prompt has, and which part of its identity each of them is."""
        media = {self.images: "images", self.videos: "videos", self.audios: "audios"}
        entries = {**{name: name for name in _OF_TOOLS}, **{name: f"spo.{name}" for name in self.further or ()}}
        return {"agent_name": "agent_name", **media, **entries, **{f"extra_info.{k}": v for k, v in entries.items()}}

    @cached_property
    def counted(self) -> frozenset[str]:
        """All leaves that make a prompt's identity."""
        return frozenset(("data_source", self.messages, "reward_model.ground_truth", *self.parts))

    def ignores(self, leaf: str) -> bool:
        """Whether a leaf says something that the identity leaves out."""
        return leaf not in self.counted and leaf not in _MEANINGLESS


VERL_FIELDS = Fields()
"""With verl's own names of columns."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, all of it as JSON has it.

    Attributes:
        data_source: Name of the data set, by which verl chooses the reward function.
        messages: Chat messages, at least one.
        ground_truth: What the reward function compares with; None where there is none.
        further: Media, arguments of tools, and the like: what not every prompt has.
    """

    data_source: str
    messages: list[dict[str, Any]]
    ground_truth: Any
    further: dict[str, Any]

    @cached_property
    def digest(self) -> bytes:
        """Its identity: 128 bits of all that it has.

        Not the first message's text (prompts that share a system prompt would collapse) and not the row's index (a
        re-shuffled file would change it).
        """
        return digest([self.data_source, self.messages, self.ground_truth, *([self.further] if self.further else [])])

    @property
    def text(self) -> str:
        """Its last message to read."""
        return content_text(self.messages[-1])

    @property
    def truth_text(self) -> str:
        """The ground truth to read; empty where there is none."""
        truth = self.ground_truth
        return truth if isinstance(truth, str) else "" if truth is None else json.dumps(truth)


def prompt_of(row: Mapping[str, Any], fields: Fields, number: int) -> Prompt:
    """The prompt of a row.

    Raises:
        DataError: It has no chat messages, or a value that is not the same at every start.
    """
    found = leaves(row)
    messages = canonical(found.get(fields.messages))
    if not (isinstance(messages, list) and messages and all(isinstance(message, dict) for message in messages)):
        raise DataError(
            f"data.train_files: row {number} has no prompt: column {fields.messages!r} must hold chat messages"
        )
    parts = ((part, found[leaf]) for leaf, part in fields.parts.items() if leaf in found)
    further = {part: canonical(value) for part, value in parts if value is not None}
    return Prompt(
        data_source=str(found.get("data_source") or "unknown"),
        messages=messages,
        ground_truth=canonical(found.get("reward_model.ground_truth")),
        further={part: form for part, form in further.items() if form not in ("", [], {})},
    )


def leaves(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's columns, and in place of the nested ones their entries."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if name in NESTED and isinstance(value, Mapping):
            found.update({f"{name}.{key}": entry for key, entry in value.items()})
        else:
            found[name] = value
    return found


def ignored(row: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """What a row says beyond its prompt; values without a form in JSON by their type."""
    found = {leaf: value for leaf, value in leaves(row).items() if fields.ignores(leaf)}
    return {leaf: canonical(value, other=lambda odd: type(odd).__name__) for leaf, value in found.items()}


def digest(value: Any) -> bytes:
    """128 bits of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


def _refused(value: Any) -> Any:
    raise DataError(
        f"data.train_files: a prompt holds a value of type {type(value).__name__}, of which SPO cannot tell whether it "
        "is the same at the next start; give it as JSON has it (texts, numbers, lists, dicts), or as bytes"
    )


def canonical(value: Any, other: Callable[[Any], Any] = _refused) -> Any:
    """A value as JSON has it, the same at every start.

    Entries without a value are left out: one row's entry gives every other row of an Arrow table an empty one. Media
    become a digest of their bytes.

    Args:
        value: Of a row.
        other: What becomes of a value that JSON has no form for.
    """
    match value:
        case str():
            return _media(value.encode()) if _DATA_URL.fullmatch(value) else value
        case None | bool() | int() | float():
            return value
        case dict() | Mapping():
            # Where the bytes are, the path only says where they were.
            path = {"path"} if value.get("bytes") is not None else set()
            return {str(k): canonical(v, other) for k, v in value.items() if v is not None and k not in path}
        case list() | tuple():
            return [canonical(entry, other) for entry in value]
        case bytes() | bytearray() | memoryview():
            return _media(value)
        case Image():
            return {**_media(value.tobytes()), "mode": value.mode, "size": list(value.size)}
        case PathLike() | Decimal() | date() | time():
            return str(value)
    return _array(np.asarray(value), other) if hasattr(value, "tolist") else other(value)


def _array(values: np.ndarray, other: Callable[[Any], Any]) -> Any:
    """An array, a number of NumPy's, or a tensor."""
    if values.size > _MEDIA_NUMBERS and values.dtype != object:
        return {**_media(values.tobytes()), "type": str(values.dtype), "shape": list(values.shape)}
    return canonical(values.tolist(), other)


def _media(content: Any) -> dict[str, str]:
    return {"blake2b": blake2b(content, digest_size=DIGEST_BYTES).hexdigest()}
