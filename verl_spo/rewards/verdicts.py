"""What a scorer is given, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's response and what is known of its prompt."""

    data_source: str
    response: str
    truth: str
    extra: Mapping[str, Any]
    """The row's `extra_info`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A score, and the part of the response that it is for; empty if the response has no answer."""

    score: float
    found: str
