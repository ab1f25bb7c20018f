"""The spool: what was appended comes back; what was not written whole does not."""

import dataclasses
import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stores import Training, evaluated
from verl_spo.store.database.urls import parse
from verl_spo.store.records import InitScores, MetricsRecord, Record, StepRecord
from verl_spo.store.writing import codec, spool
from verl_spo.store.writing.spool import Spool, spool_path

RECORDS: list[Record] = [
    Training().advance(texts=True),
    Training().advance(),
    MetricsRecord(3, {"a": 1.5, "nan": float("nan"), "inf": float("inf"), "\ud800": 1.0}),
    InitScores([0, 2], [8, 8], [4.0, 0.5]),
    evaluated(4, settings={"json": [1, {"record": 2}]}),
]


def assert_equal(given: Any, expected: Any) -> None:
    """Equal in every field, arrays and NaN included."""
    if dataclasses.is_dataclass(expected):
        assert type(given) is type(expected)
        for field in dataclasses.fields(expected):
            assert_equal(getattr(given, field.name), getattr(expected, field.name))
    elif isinstance(expected, np.ndarray):
        assert given.dtype == expected.dtype
        np.testing.assert_array_equal(given, expected)
    else:
        assert repr(given) == repr(expected)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert_equal(codec.decode(codec.encode(record)), record)


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    target = Spool(tmp_path / "deep" / "a.spool", "me")
    for number, record in enumerate(RECORDS, 1):
        target.append((number, record))
    assert spool.owner_of(target.path) == "me"
    found = list(spool.read(target.path))
    assert [number for number, _ in found] == [1, 2, 3, 4, 5]
    for (_, record), expected in zip(found, RECORDS, strict=True):
        assert_equal(record, expected)
    assert oct(target.path.stat().st_mode & 0o777) == "0o600"
    target.remove(through=4)
    assert target.path.exists()
    target.remove(through=5)
    assert not target.path.exists()


def test_an_entry_is_written_once(tmp_path: Path) -> None:
    target = Spool(tmp_path / "a.spool", "me")
    for number in (1, 2, 1, 2, 3):
        target.append((number, RECORDS[0]))
    assert [number for number, _ in spool.read(target.path)] == [1, 2, 3]
    assert target.last == 3


@given(data=st.data())
def test_whatever_is_torn_off_or_flipped_is_noticed(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = Spool(tmp_path_factory.mktemp("spool") / "a.spool", "me")
    ends = []
    for number in range(1, 4):
        target.append((number, MetricsRecord(number, {"a": number / 3})))
        ends.append(target.path.stat().st_size)
    content = bytearray(target.path.read_bytes())
    start = len(content.split(b"\n")[0]) + 1
    place = data.draw(st.integers(start, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    target.path.write_bytes(content)
    whole = [number for number, end in enumerate(ends, 1) if end <= place]
    assert [number for number, _ in spool.read(target.path)] == whole


def test_a_last_frame_of_a_wrong_length_is_not_whole(tmp_path: Path) -> None:
    target = Spool(tmp_path / "a.spool", "me")
    target.append((1, MetricsRecord(1, {"a": 1.0})))
    end = target.path.stat().st_size
    target.append((2, MetricsRecord(2, {"a": 2.0})))
    content = bytearray(target.path.read_bytes())
    # The length follows the number, of eight bytes.
    content[end + 8] += 1
    target.path.write_bytes(content)
    assert [number for number, _ in spool.read(target.path)] == [1]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"rubbish", b"[]\n", b'{"format": 99, "owner": "me"}\n', os.urandom(5000)]
)
def test_a_file_that_is_no_spool_has_no_owner(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.spool"
    path.write_bytes(content)
    assert spool.owner_of(path) is None


def test_an_append_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Spool(tmp_path / "a.spool", "me")
    target.append((1, RECORDS[0]))
    pwrite = os.pwrite
    written = []

    def fill_up(file: int, data: bytes, offset: int) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(pwrite(file, data[:10], offset))
        return written[0]

    monkeypatch.setattr(os, "pwrite", fill_up)
    with pytest.raises(OSError, match="No space left"):
        target.append((2, RECORDS[1]))
    monkeypatch.setattr(os, "pwrite", pwrite)
    target.append((3, RECORDS[2]))
    assert [number for number, _ in spool.read(target.path)] == [1, 3]


def test_a_spool_that_cannot_even_begin_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Spool(tmp_path / "a.spool", "me")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        with pytest.raises(OSError, match="I/O error"):
            target.append((1, RECORDS[0]))
    assert not target.path.exists()
    target.append((2, RECORDS[0]))
    assert [number for number, _ in spool.read(target.path)] == [2]


def test_a_spool_lies_beside_the_file_or_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERL_SPO_SPOOL_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    beside = spool_path(parse(f"sqlite:///{tmp_path}/store.db"), "a/b")
    assert beside.parent == tmp_path
    assert beside.name.startswith("store.db-")
    assert spool_path(parse("postgresql://h/db"), "a/b").parent == tmp_path / "state" / "verl-spo"
    assert spool_path(parse("postgresql://h/db"), "a/b") != spool_path(parse("postgresql://h/db"), "a/c")
    monkeypatch.setenv("VERL_SPO_SPOOL_DIR", str(tmp_path / "chosen"))
    assert spool_path(parse("postgresql://h/db"), "../\ud800").parent == tmp_path / "chosen"


def test_a_spool_of_before_sessions_were_kept_is_replayed(tmp_path: Path) -> None:
    record = Training().advance(texts=True)
    encoded = codec.encode(record)
    end = 4 + int.from_bytes(encoded[:4], "little")
    old = json.loads(encoded[4:end])
    for name in ("finish", "seconds", "turns", "parts"):
        del old["fields"]["observations"]["fields"][name]
    written = json.dumps(old).encode()
    data = len(written).to_bytes(4, "little") + written + encoded[end:]
    found = codec.decode(data)
    assert isinstance(found, StepRecord)
    assert found.observations.finish is None
    assert np.isnan(found.observations.seconds).all()
    assert set(found.observations.turns.tolist()) == {-1}
    assert found.observations.uid == record.observations.uid


@pytest.mark.parametrize(("version", "owner"), [(1, None), (2, "me"), (spool.FORMAT, "me"), (spool.FORMAT + 1, None)])
def test_which_formats_are_replayed(version: int, owner: str | None, tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    path.write_text(json.dumps({"format": version, "owner": "me"}) + "\n")
    assert spool.owner_of(path) == owner
