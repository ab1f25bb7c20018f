"""Hostile texts: every character is seen, and nothing of them is markup."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_spo_dashboard import text_differences, texts

ANY_TEXT = st.text(alphabet=st.characters(codec=None))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb"),
        ("\x1b[31mred", "⟨001B⟩[31mred"),
        ("\u202egpj.exe", "⟨202E⟩gpj.exe"),
        ("\ud800", "⟨D800⟩"),
        ("pass\u200bword\ufeff", "pass⟨200B⟩word⟨FEFF⟩"),
        ("hi\U000e0041\U000e0101\ufe01", "hi⟨E0041⟩⟨E0101⟩⟨FE01⟩"),
        ("👩\u200d🔬 می\u200cخواهم", "👩\u200d🔬 می\u200cخواهم"),
        ("naïve ☃ 三角形 عربي", "naïve ☃ 三角形 عربي"),
    ],
)
def test_what_nobody_sees_is_shown(text: str, shown: str) -> None:
    assert texts.visible(text) == shown


@given(ANY_TEXT)
def test_every_text_can_be_sent(text: str) -> None:
    assert texts.visible(text).encode().decode() == texts.visible(text)


def test_a_megabyte_in_a_line_is_cut_but_for_its_ends() -> None:
    text = "x" * (2**20 - 6) + "ANSWER"
    shown = texts.cut(text)
    assert len(shown) < texts.MOST + 50
    assert "… 998,576 characters left out …" in shown
    assert shown.endswith("ANSWER")
    assert texts.line(text, 200) == "x" * 200
    assert texts.last_line(text, 10) == "… xxxxANSWER"
    assert texts.last_line("short", 10) == "short"
    assert texts.last_line("long before\n" + "\n" * 60, 6) == "… before"


def test_differences_are_marked_word_by_word() -> None:
    left, right = text_differences.pieces("the answer is 12", "the answer is not 13")
    assert left == [("the answer is ", False), ("12", True)]
    assert "".join(text for text, _ in right) == "the answer is not 13"
    assert [text for text, differs in right if differs] == ["not 13"]


class Reader(HTMLParser):
    """Collects text and tags."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags = "", set[str]()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


@given(ANY_TEXT | st.sampled_from(["<script>alert(1)</script>", "</pre><img src=x>", "&lt;b&gt;", "a\"'>b"]), ANY_TEXT)
def test_nothing_of_a_text_is_markup(left: str, right: str) -> None:
    for text in text_differences.pieces(texts.visible(left), texts.visible(right)):
        reader = Reader()
        reader.feed(text_differences.markup(text, "color: inherit"))
        reader.close()
        assert reader.tags <= {"pre", "mark"}
        assert reader.text == "".join(words for words, _ in text)


def test_texts_without_end_are_compared_in_time() -> None:
    left, right = text_differences.pieces(
        "a b c " * (text_differences.MOST // 6), "a c b " * (text_differences.MOST // 6)
    )
    assert "".join(words for words, _ in left) == "a b c " * (text_differences.MOST // 6)
    assert any(differs for _, differs in right)
