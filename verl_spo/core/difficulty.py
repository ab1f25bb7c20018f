"""How hard prompts are for the present policy, in four classes, counted by data source in O(batch) a step."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike

from verl_spo.core.arrays import IntArray, as_floats, as_ints

RARELY_BELOW = 0.2
MOSTLY_ABOVE = 0.8

OTHERS = "others"
"""What the smallest data sources are counted under where there are more than `MOST_SOURCES`."""

MOST_SOURCES = 50


class Difficulty(IntEnum):
    """What a prompt is for the policy."""

    UNVISITED = 0
    """Not visited yet: v_hat is where it began."""
    RARELY = 1
    """Rarely solved: v_hat below 0.2."""
    SOMETIMES = 2
    """Sometimes solved, v_hat in [0.2, 0.8]: the frontier, where a reward says most."""
    MOSTLY = 3
    """Mostly solved: v_hat above 0.8."""


def difficulty(values: ArrayLike, visits: ArrayLike) -> IntArray:
    """Classes of prompts, (n,).

    Args:
        values: v_hat in [0, 1], (n,).
        visits: Observations so far, (n,).
    """
    rate = as_floats(values)
    solved = Difficulty.RARELY + (rate >= RARELY_BELOW).astype(np.int64) + (rate > MOSTLY_ABOVE)
    return np.where(as_ints(visits) > 0, solved, Difficulty.UNVISITED)


class DifficultyCounts:
    """Prompts of a pool by data source and class, and the moves between classes."""

    def __init__(self, values: ArrayLike, visits: ArrayLike, sources: ArrayLike, names: Sequence[str]) -> None:
        """Start from the whole pool.

        Args:
            values: v_hat of each prompt, (P,), in [0, 1].
            visits: Observations of each, (P,).
            sources: Number of each one's data source, (P,), in [0, len(names)).
            names: Of the sources.
        """
        self._names, places = _largest(names, np.bincount(as_ints(sources), minlength=len(names)))
        self._sources = places[as_ints(sources)]
        self._classes = difficulty(values, visits).astype(np.int8)
        self._counts = self._count(self._sources, self._classes)

    @property
    def by_source(self) -> dict[str, list[int]]:
        """Prompts in each class, in the order of `Difficulty`, by the name of their data source."""
        return dict(zip(self._names, self._counts.tolist(), strict=True))

    def update(self, slots: ArrayLike, values: ArrayLike, visits: ArrayLike) -> list[tuple[int, int, int]]:
        """Note where some prompts stand now.

        Args:
            slots: (n,), each of them once.
            values: v_hat of these, (n,).
            visits: Observations of these, (n,).

        Returns:
            Class before, class now and number of prompts, of each kind of move that occurred.
        """
        changed = as_ints(slots)
        before, now = self._classes[changed], difficulty(values, visits).astype(np.int8)
        places = self._sources[changed]
        self._counts += self._count(places, now) - self._count(places, before)
        self._classes[changed] = now
        moves = np.bincount(before * np.int64(len(Difficulty)) + now, minlength=len(Difficulty) ** 2)
        moves = moves.reshape(len(Difficulty), len(Difficulty))
        np.fill_diagonal(moves, 0)
        return [(int(old), int(new), int(moves[old, new])) for old, new in np.argwhere(moves)]

    def _count(self, sources: IntArray, classes: np.ndarray) -> IntArray:
        cells = np.bincount(sources * len(Difficulty) + classes, minlength=len(self._names) * len(Difficulty))
        return cells.reshape(len(self._names), len(Difficulty))


def _largest(names: Sequence[str], sizes: IntArray) -> tuple[list[str], IntArray]:
    """The names to count under, largest first, and each source's place among them."""
    order = np.argsort(-sizes, kind="stable")
    kept = order if order.size <= MOST_SOURCES else order[: MOST_SOURCES - 1]
    shown = [names[source] for source in kept.tolist()]
    if kept.size < order.size and OTHERS not in shown:
        shown.append(OTHERS)
    places = np.full(order.size, shown.index(OTHERS) if kept.size < order.size else 0, dtype=np.int64)
    places[kept] = np.arange(kept.size)
    return shown, places
