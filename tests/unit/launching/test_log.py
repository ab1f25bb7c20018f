"""verl's output on its way to a file and to people."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from verl_spo.launching.log import Log


class Screen(io.TextIOWrapper):
    """A stdout that remembers."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), write_through=True)

    def text(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


def say(text: str, log: Log) -> None:
    subprocess.run([sys.executable, "-c", f"print({text!r})"], stdout=log.file, check=True)


@pytest.mark.parametrize("shown", [True, False])
def test_all_of_it_is_in_the_file_and_on_the_screen_where_asked(
    shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    with Log(tmp_path / "new" / "train.log", shown) as log:
        say("one", log)
        say("two", log)
    assert log.path.read_text() == "one\ntwo\n"
    assert screen.text() == ("one\ntwo\n" if shown else "")


def test_a_start_adds_to_the_log_and_knows_its_own_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen())
    for said in ("first start", "second start"):
        with Log(tmp_path / "train.log", shown=True) as log:
            say(said, log)
            assert log.text() == f"{said}\n"
    assert log.path.read_text() == screen.text() == "first start\nsecond start\n"


def test_a_reader_that_has_gone_ends_only_the_showing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(Screen):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    with Log(tmp_path / "train.log", shown=True) as log:
        say("one", log)
    assert log.path.read_text() == "one\n"
