"""Which tools a session's messages are about, as far as their texts tell."""

import re
from collections.abc import Sequence

from verl_spo.store.text import Part

_NAME = r"[\w.:-]{1,64}"
# Of verl's parsers: hermes; qwen3_coder and seed; minimax and deepseek_v4. Others mark calls by special tokens, which
# texts are kept without.
_CALL = re.compile(
    rf'<tool_call>\s*\{{[^{{}}]*?"name"\s*:\s*"({_NAME})"|<function=({_NAME})>|<[^<>\s]*invoke name="({_NAME})"'
)


def names(parts: Sequence[Part]) -> list[list[str]]:
    """For each part of a session: the tools that the model calls in it, each once, or those whose answers it has."""
    found: list[list[str]] = []
    for part in parts:
        if part.author == "model":
            found.append(list(dict.fromkeys(next(filter(None, call.groups())) for call in _CALL.finditer(part.text))))
        else:
            found.append(found[-1] if found else [])
    return found
