"""In what runs differ: their options, software and code, as their present attempts recorded them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from verl_spo.store.queries import RunDetail
from verl_spo_dashboard.wording import NOTHING

_MISSING = object()


def options(runs: Sequence[RunDetail]) -> dict[str, list[str]]:
    """Options, by their dotted name, whose values differ: that of each run."""
    return _differing([dict(_flat(run.config)) for run in runs])


def versions(runs: Sequence[RunDetail]) -> dict[str, list[str]]:
    """Packages, the commit and the host, likewise."""
    return _differing([dict(_software(run)) for run in runs])


def _shown(value: Any) -> str:
    if value is _MISSING:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _differing(found: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    names = sorted({name for values in found for name in values})
    rows = {name: [values.get(name, _MISSING) for values in found] for name in names}
    return {name: [_shown(value) for value in row] for name, row in rows.items() if any(each != row[0] for each in row)}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested groups. Lists are leaves: their places have no names."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value


def _software(run: RunDetail) -> Iterator[tuple[str, Any]]:
    for attempt in run.attempts[-1:]:
        yield from attempt.versions.items()
        yield "host", attempt.host
        yield from ((f"git {name}", value) for name, value in (attempt.git or {}).items())
