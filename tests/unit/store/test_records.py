"""Records own their arrays and agree with themselves."""

import dataclasses

import numpy as np
import pytest

from tests.support.stores import Training
from verl_spo.errors import StoreError
from verl_spo.store.records import InitScores, Observations, TrackerRows


def test_arrays_are_copied_and_typed() -> None:
    alpha = np.array([1, 2], dtype=np.int32)
    rows = TrackerRows([0, 1], alpha, [1.0, 1.0], [0, 0], [0, 0], [0, 0])
    alpha[:] = 9
    assert rows.alpha.tolist() == [1.0, 2.0]
    assert (rows.alpha.dtype, rows.slots.dtype) == (np.float64, np.int64)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Observations) if field.name != "slot"])
def test_a_column_of_another_length_is_named_with_both(name: str) -> None:
    observations = Training().advance(texts=True).observations
    with pytest.raises(StoreError, match=rf"Observations\.{name}: has 7 entries, but slot has 8"):
        dataclasses.replace(observations, **{name: getattr(observations, name)[:7]})


def test_scores_agree_with_themselves() -> None:
    with pytest.raises(StoreError, match=r"InitScores\.responses: has 1 entries, but slots has 2"):
        InitScores([0, 1], [8], [1.0, 2.0])
