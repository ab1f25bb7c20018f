"""Checkpoints of `core`: a state whose fields do not match is refused with both sides named."""

from collections.abc import Iterable, Mapping
from typing import Any

from verl_spo.errors import CheckpointError


def require_fields(owner: str, state: Mapping[str, Any], expected: Iterable[str]) -> None:
    """Refuse a state that has other fields than `expected`.

    Raises:
        CheckpointError: Names the fields of both.
    """
    if set(state) != set(expected):
        raise CheckpointError(f"{owner}: the checkpoint has the fields {sorted(state)}, expected {sorted(expected)}")


def require_equal(owner: str, what: str, found: object, expected: object) -> None:
    """Refuse a state made for something else.

    Raises:
        CheckpointError: Names both values.
    """
    if found != expected:
        raise CheckpointError(f"{owner}: the checkpoint has {what} {found}, this run has {expected}")
