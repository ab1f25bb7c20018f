"""Text on its way into the store and out of it."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import zstandard

_LEVEL = 3

# Made once: `json.dumps` would make one a call.
_JSON = json.JSONEncoder(allow_nan=False)

Author = Literal["model", "environment"]
"""Who wrote a part of a session: the environment are tools, and users of several turns."""


@dataclass(frozen=True)
class Part:
    """What one author wrote without a break; a session of several turns consists of these, in order.

    Attributes:
        author: Who wrote it. Only what the model wrote is trained on.
        tokens: How many there are of it.
        text: Without special tokens.
    """

    author: Author
    tokens: int
    text: str


def clean(text: str) -> str:
    """Text as both databases can hold it: no NUL, no half of a surrogate pair."""
    whole = text.replace("\0", "\ufffd")
    return whole if whole.isascii() else whole.encode("utf-8", "replace").decode()


def content_text(message: Mapping[str, Any]) -> str:
    """The readable part of a chat message; of images and the like, nothing."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and "text" in part)


def question(messages: Sequence[Mapping[str, Any]]) -> str:
    """What a table shows of a prompt: its last message from the user, or else its last message."""
    asked = [message for message in messages if message.get("role") == "user"] or list(messages)
    return content_text(asked[-1]) if asked else ""


def searchable(messages: Sequence[Mapping[str, Any]], ground_truth: str) -> str:
    """What a search finds a prompt by: all but the system's messages, which many prompts share, and the answer."""
    texts = [content_text(message) for message in messages if message.get("role") != "system"]
    return clean("\n".join([*texts, ground_truth]))


def dump_json(value: Any) -> str:
    """JSON as both databases take it: NaN and infinities, which it does not have, as null."""
    try:
        return _JSON.encode(value)
    except ValueError:
        # Not in the first place: the copy would cost as much as all the rest.
        return _JSON.encode(_finite(value))


def pack_rollout(prompt: str | None, response: str | None, parts: Sequence[Part] = ()) -> bytes:
    """A trajectory's text, compressed; with the parts of its response, where that has several."""
    texts: list[Any] = [None if text is None else clean(text) for text in (prompt, response)]
    if parts:
        texts.append([[part.author, part.tokens, clean(part.text)] for part in parts])
    return zstandard.compress(json.dumps(texts).encode(), _LEVEL)


def unpack_rollout(content: bytes) -> tuple[str | None, str | None, tuple[Part, ...]]:
    """Prompt, response and parts of a trajectory; no parts where the response is one of the model's messages."""
    prompt, response, *parts = json.loads(zstandard.decompress(content))
    return prompt, response, tuple(Part(*part) for part in (parts[0] if parts else ()))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
