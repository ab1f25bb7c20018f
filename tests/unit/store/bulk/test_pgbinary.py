"""Postgres's binary format, byte by byte, as its documentation describes it."""

import struct

import numpy as np
import pytest
from sqlalchemy import JSON, BigInteger, Double, Integer, LargeBinary, Text

from verl_spo.store.bulk.pgbinary import pack

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


def test_fields_of_every_kind() -> None:
    packed = pack(
        [BigInteger(), Integer(), Double(), Text(), LargeBinary()],
        [np.array([1, -2]), np.array([3, 4]), np.array([0.5, np.nan]), ["a", "\u00fc\0b"], [b"", b"xyz\0"]],
    )
    first = struct.pack(">h iq ii id i1s i".replace(" ", ""), 5, 8, 1, 4, 3, 8, 0.5, 1, b"a", 0)
    second = struct.pack(">hiqiii", 5, 8, -2, 4, 4, -1) + struct.pack(">i4si4s", 4, "\u00fc\0b".encode(), 4, b"xyz\0")
    assert packed == HEADER + first + second + TRAILER


def test_numbers_and_texts_that_are_not_there_are_null() -> None:
    packed = pack([Integer(), Text()], [np.array([np.nan, 2.0]), [None, "b"]])
    assert packed == HEADER + struct.pack(">hii", 2, -1, -1) + struct.pack(">hiii1s", 2, 4, 2, 1, b"b") + TRAILER


def test_no_rows() -> None:
    assert pack([BigInteger(), Text()], [np.array([], dtype=np.int64), []]) == HEADER + TRAILER


def test_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be packed"):
        pack([JSON()], [["{}"]])
