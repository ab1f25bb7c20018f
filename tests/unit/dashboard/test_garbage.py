"""What is left out of the search for garbage."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from verl_spo_dashboard import garbage


class _Knot:
    """It refers to itself: only a search finds that nobody needs it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """The process as it was."""
    garbage.spare.cache_clear()
    gc.unfreeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()
    garbage.spare.cache_clear()


def test_what_a_page_has_loaded_is_left_out_but_not_what_nobody_needs() -> None:
    kept, lost = _Knot(), weakref.ref(_Knot())
    garbage.spare("training")
    assert lost() is None
    assert not any(each is kept for each in gc.get_objects())
    assert gc.get_freeze_count() > 0


def test_it_happens_once_a_page() -> None:
    garbage.spare("training")
    later = _Knot()
    garbage.spare("training")
    assert any(each is later for each in gc.get_objects())
    garbage.spare("prompts")
    assert not any(each is later for each in gc.get_objects())
