"""A run's state under other options: what they still mean goes on, the rest begins anew."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

# Evidence never fades to nothing, or a value would be 0 / 0.
_TINY = 1e-300


def adapted(state: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """A state as a run with other options can load it.

    A part, such as `retention.`, goes on where both runs keep the same fields in it, and begins anew elsewhere.

    Args:
        state: `SPO.state_dict` of the run that is left.
        fresh: That of an `SPO` with the options to go on with, before its first step, on the same pool.
    """
    known = _parts(state)
    kept = {name for part, names in _parts(fresh).items() if known.get(part) == names for name in names}
    return {**fresh, **{name: state[name] for name in kept}, **_in_its_time(state, fresh)}


def _in_its_time(state: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """What changes where evidence ages by visits in the one run and by events in the other (core/tracker.py)."""
    by_events, will = "retention.z" in state, "retention.z" in fresh
    if will and not by_events:
        # No event so far: one event time for all policies that there were.
        return {"retention.z": np.zeros(state["published"] + 1)}
    if by_events and not will:
        fading = np.maximum(np.exp(state["tracker.z"] - state["retention.z"][-1]), _TINY)
        evidence = {name: state[name] * fading for name in ("tracker.alpha", "tracker.beta")}
        return {**evidence, "tracker.z": np.zeros_like(state["tracker.z"])}
    return {}


def _parts(names: Iterable[str]) -> dict[str, set[str]]:
    """Names by what stands before their dot."""
    parts: dict[str, set[str]] = {}
    for name in names:
        parts.setdefault(name.rpartition(".")[0], set()).add(name)
    return parts
