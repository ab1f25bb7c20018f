"""Digests of Arrow rows are as different as the rows."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo.training.prompts.columns import row_digests

NUMBERS = st.none() | st.integers(-2, 2)
TEXTS = st.none() | st.sampled_from(["", "a", "ab", "b", "1", "\0"])
KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int64(), NUMBERS),
    (pa.float32(), st.none() | st.sampled_from([0.0, 0.5, 1.0, 1e30])),
    (pa.bool_(), st.none() | st.booleans()),
    (pa.string(), TEXTS),
    (pa.dictionary(pa.int8(), pa.string()), TEXTS),
    (pa.binary(), st.none() | st.binary(max_size=2)),
    (pa.null(), st.none()),
    (pa.decimal128(3, 1), st.none() | st.decimals(-9, 9, places=1)),
    (pa.date32(), st.none() | st.dates()),
    (pa.list_(pa.string()), st.none() | st.lists(TEXTS, max_size=2)),
    (pa.large_list(pa.list_(pa.int8())), st.none() | st.lists(st.none() | st.lists(NUMBERS, max_size=2), max_size=2)),
    (pa.list_(pa.int8(), 2), st.none() | st.lists(NUMBERS, min_size=2, max_size=2)),
    (
        pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        st.none() | st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS}), max_size=2),
    ),
]


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
@given(st.data())
def test_rows_share_a_digest_if_they_are_equal(kind: pa.DataType, values: Any, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(values, TEXTS), max_size=8))
    table = pa.table(
        {"value": pa.array([row[0] for row in rows], kind), "text": pa.array([row[1] for row in rows], "str")}
    )
    digests = row_digests({name: table[name].combine_chunks() for name in table.column_names}, len(rows))
    for row, digest in zip(table.to_pylist(), digests, strict=True):
        assert [digest == other for other in digests] == [row == other for other in table.to_pylist()]


def test_a_part_of_a_table_has_the_digests_of_its_rows() -> None:
    kind = pa.list_(pa.struct({"role": pa.string(), "sizes": pa.list_(pa.int64())}))
    rows = [[{"role": "user", "sizes": [number]}] * (number % 3) if number % 4 else None for number in range(20)]
    values = pa.array(rows, kind)
    assert row_digests({"a": values[5:17]}, 12) == row_digests({"a": values}, 20)[5:17]


def test_the_order_of_the_columns_does_not_matter_but_their_names_do() -> None:
    one, two = pa.array(["x"]), pa.array(["y"])
    assert row_digests({"a": one, "b": two}, 1) == row_digests({"b": two, "a": one}, 1)
    assert row_digests({"a": one, "b": two}, 1) != row_digests({"a": two, "b": one}, 1)


def test_json_in_a_column_is_its_text() -> None:
    texts = pa.array(['{"a":1}', "[2]"])
    as_json = pa.ExtensionArray.from_storage(pa.json_(), texts)
    assert row_digests({"a": as_json}, 2) == row_digests({"a": texts}, 2)


def test_rows_without_a_value_are_equal() -> None:
    assert len(set(row_digests({}, 3))) == 1
    empty = pa.array([[{}], [{}, {}], [{}]], pa.list_(pa.struct({})))
    one, two, three = row_digests({"a": empty}, 3)
    assert one == three != two


def test_large_films_are_digested_one_by_one() -> None:
    films = pa.array([bytes(1 << 20), np.ones(1 << 20, np.uint8).tobytes(), bytes(1 << 20)])
    one, two, three = row_digests({"film": films}, 3)
    assert one == three != two
