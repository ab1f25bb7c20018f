"""Two texts side by side, with what only one of them has marked."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from re import findall

import streamlit as st

from verl_spo_dashboard.texts import visible

MOST = 20_000
"""Characters of each text that are compared: more would take seconds."""

# Blue and orange stay apart for everybody, on both backgrounds; the lines tell them apart without colours.
_STYLES = (
    "background: rgba(230, 159, 0, 0.28); text-decoration: underline dashed; color: inherit",
    "background: rgba(86, 180, 233, 0.32); text-decoration: underline; color: inherit",
)
_BOX = (
    "white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; max-height: 420px; overflow-y: auto; "
    "font-family: var(--st-code-font, monospace); font-size: 0.85rem; padding: 0.75rem; border-radius: 6px; margin: 0; "
    "border: 1px solid rgba(128, 136, 146, 0.35)"
)

Piece = tuple[str, bool]


def pieces(left: str, right: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts in pieces, word by word; of each piece, whether the other text lacks it."""
    words: list[list[str]] = [findall(r"\s+|\w+|[^\w\s]", text) for text in (left, right)]
    blocks = SequenceMatcher(a=words[0], b=words[1]).get_opcodes()
    return (
        [("".join(words[0][a:b]), tag != "equal") for tag, a, b, _, _ in blocks if b > a],
        [("".join(words[1][c:d]), tag != "equal") for tag, _, _, c, d in blocks if d > c],
    )


def markup(text: Sequence[Piece], style: str) -> str:
    """Pieces of text as HTML, in which nothing of the text is markup."""
    return f'<pre style="{_BOX}">{"".join(_marked(text, style))}</pre>'


def show(left: str, right: str, titles: tuple[str, str]) -> None:
    """Both texts, beside each other under their titles; as much of them as is compared."""
    found = pieces(visible(left[:MOST]), visible(right[:MOST]))
    for column, title, text, style in zip(st.columns(2, gap="medium"), titles, found, _STYLES, strict=True):
        column.text(title)
        column.html(markup(text, style))
    if max(len(left), len(right)) > MOST:
        st.caption(f"The first {MOST:,} characters of each are compared.")


def _marked(text: Sequence[Piece], style: str) -> Iterator[str]:
    for words, differs in text:
        yield f'<mark style="{style}">{escape(words)}</mark>' if differs else escape(words)
