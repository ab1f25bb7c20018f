"""Fixtures that every test may use, and which of pytest-xdist's workers runs what."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.support.waiting import LONGEST_S

pytest_plugins = ["tests.support.databases"]

# Property tests neither race a clock, which a busy machine would win, nor depend on luck.
settings.register_profile("verl-spo", deadline=None, derandomize=True)
settings.register_profile("quick", settings.get_profile("verl-spo"), max_examples=20)
settings.load_profile("verl-spo")

# Real verl, which is slow and wants the machine. Its tests look for processes and shared memory that runs leave behind,
# so that whatever else makes such things takes its turn on the same worker.
END_TO_END = "tests/integration/training/"
ONE_BY_ONE = (
    END_TO_END,
    *(f"tests/unit/launching/test_{name}.py" for name in ("cluster", "launch", "log", "nodes", "processes", "run")),
)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """One worker takes all of `ONE_BY_ONE`; the others take file by file."""

    def _split_scope(self, nodeid: str) -> str:
        return END_TO_END if nodeid.startswith(ONE_BY_ONE) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Let `-n` schedule so, whatever `--dist` says."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and let it."""
    for item in items:
        if item.get_closest_marker("verl"):
            item.add_marker(pytest.mark.timeout(3 * LONGEST_S))
    items.sort(key=lambda item: (not item.nodeid.startswith(END_TO_END), not item.nodeid.startswith(ONE_BY_ONE)))


def pytest_collection_finish() -> None:
    """Spare the garbage collector torch's and verl's modules, over which it spends a fifth of the quick tests' time."""
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files alone that are slow as a whole where no slow test is wanted: their imports take longer than tests."""
    if collection_path.suffix != ".py" or "not slow" not in config.getoption("markexpr"):
        return None
    return True if "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() else None


@pytest.fixture(autouse=True)
def own_variables() -> Iterator[None]:
    """Take back the variables that a launch sets for its process, such as the database's address.

    They stay the mapping that `rich` and others hold: `datasets` puts a copy in its place when it maps in processes.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith("VERL_SPO_")}
    with mock.patch.object(os, "environ", os.environ):
        yield
    for name in [name for name in os.environ if name.startswith("VERL_SPO_")]:
        del os.environ[name]
    os.environ.update(before)
