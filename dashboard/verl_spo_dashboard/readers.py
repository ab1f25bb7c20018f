"""How many look at this server's pages: the more they are, the rarer each looks, so that none waits for the rest."""

import threading
import time
from collections.abc import Callable
from uuid import uuid4

import streamlit as st

AT_FULL_PACE = 5
"""Readers who look as often as one alone. Beyond them, twice as many look half as often."""

RAREST = 16
"""How many times as long as one alone a reader waits at most."""

_PATIENCE = 3


class Readers:
    """The tabs that look again and again.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expected: dict[str, float] = {}
        self._lock = threading.Lock()

    def pace(self, tab: str, alone: float) -> float:
        """Note that a tab looks; returns the seconds until it should look again.

        Args:
            tab: Its name. One that misses three looks is gone.
            alone: Seconds between two looks of a reader alone, above 0.
        """
        with self._lock:
            now = self._clock()
            here = {other: until for other, until in self._expected.items() if until > now} | {tab: now}
            wait = alone * min(RAREST, 1 << ((len(here) - 1) // AT_FULL_PACE).bit_length())
            self._expected = here | {tab: now + _PATIENCE * wait}
            return wait


def pace(alone: float) -> float:
    """Seconds until this tab should look again, where it would wait so many if it were alone."""
    return _readers().pace(st.session_state.setdefault("tab", uuid4().hex), alone)


@st.cache_resource(show_spinner=False)
def _readers() -> Readers:
    return Readers()
