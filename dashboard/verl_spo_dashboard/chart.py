"""A chart in its place on a page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from verl_spo_dashboard.charts import Spec

Numbers = Mapping[str, Any]
"""Columns of equal length, by name."""


@dataclass(frozen=True)
class Chart:
    """A chart in its place.

    Attributes:
        key: Streamlit's key for it.
        spec: What it is.
        width: How many columns it takes.
        clicks: Whether a click on it leads somewhere.
        numbers: What a reader takes along; None for the data that are drawn.
        run: Name of the run that it is of; empty where it is of all.
    """

    key: str
    spec: Spec
    width: int = 1
    clicks: bool = False
    numbers: Callable[[], Numbers] | None = None
    run: str = ""

    @property
    def title(self) -> str:
        """What it shows."""
        return str(self.spec["title"]["text"])
