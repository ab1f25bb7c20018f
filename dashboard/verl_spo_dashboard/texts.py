"""How pages show what data sets and models wrote: as plain text, whatever it is.

A text is shown by `st.code`, `st.text`, table cells, and `text_differences.py` only. Characters that nobody sees, and
that would change how what is around them looks, are shown as symbols: an answer cannot hide a part of itself.
"""

import re
from typing import Any

import streamlit as st

MOST = 50_000
"""Characters of a text that a page shows: of a longer one as many from its end as from its beginning."""

_TALL_TEXT = 1_500
_TALL_LINES = 15
_TALL_HEIGHT = 320

# Control characters but tab and new line; those that turn the direction of writing; those without width, but for the
# three that join scripts and emoji; fillers; tags and selectors of variants, in which whole sentences can hide.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    "\xad\u034f\u115f\u1160\u180e\u200b\u2028\u2029\u2060-\u2064\u206a-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)


def visible(text: str) -> str:
    """A text in which every character is seen: `⟨001B⟩` for an escape, `⟨202E⟩` for an override of the direction."""
    return _UNSEEN.sub(_symbol, text.replace("\r\n", "\n"))


def cut(text: str, most: int = MOST) -> str:
    """As much of a text as a page shows, and how much is missing in its middle: answers stand at the end."""
    rest, half = len(text) - most, most // 2
    if rest <= 0:
        return visible(text)
    return f"{visible(text[:half])}\n… {rest:,} characters left out …\n{visible(text[-half:])}"


def line(text: str, most: int) -> str:
    """The beginning of a text in one line, as tables show it."""
    return " ".join(visible(text[:most]).split())


def last_line(text: str, most: int) -> str:
    """The end of a text in one line, likewise."""
    text = text.rstrip()
    return ("" if len(text) <= most else "… ") + line(text[-most:], most)


def show(text: str) -> None:
    """A text, in a box that scrolls if it is long."""
    height: Any = _TALL_HEIGHT if len(text) > _TALL_TEXT or text.count("\n") > _TALL_LINES else "content"
    st.code(cut(text), language=None, wrap_lines=True, height=height)


def _symbol(found: re.Match[str]) -> str:
    return f"⟨{ord(found.group()):04X}⟩"
