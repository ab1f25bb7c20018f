r"""One way to write an answer that models write in many: only what surely leaves its meaning alone.

What takes mathematics, such as that 0.5 is \frac{1}{2}, is Math-Verify's to say.
"""

import re

LONGEST = 1000
"""Characters of an answer that is looked into. A longer one is hardly an answer, and stays as it is."""

_WRAPPED = re.compile(
    r"""\$\$(?P<display>[^$]*)\$\$ | \$(?P<inline>[^$]*)\$
    | \\\[(?P<brackets>(?:(?!\\[\[\]]).)*)\\\] | \\\((?P<parentheses>(?:(?!\\[()]).)*)\\\)
    | \\(?:boxed|fbox|mbox|text|textbf|mathrm)\ *\{(?P<braces>.*)\}""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_REWRITTEN = (
    (re.compile("\N{MINUS SIGN}"), "-"),
    (re.compile(r"^\+"), ""),
    # Larger and smaller fractions and brackets. Two backslashes are a line break, whatever comes next.
    (re.compile(r"(?<!\\)\\[dt]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"(?<!\\)\\(?:left|right) *(?=[()\[\]|]|\\[{}|])"), ""),
    # Spaces of all widths.
    (re.compile(r"\s+|(?<!\\)(?:~|\\[,;:! ]|\\q?quad(?![A-Za-z]))"), " "),
    # They matter in words, after a command or a backslash, and in "1, 234", which is not 1234.
    (re.compile(r"(?<![\w,\\]) +| +(?![\w, ])"), ""),
)
_NUMBER = re.compile(
    r"(?P<sign>-?)(?P<whole>[1-9][0-9]{0,2}(?:(?:,|\{,\}|\\[,!])[0-9]{3})+|[0-9]*)(?:\.(?P<rest>[0-9]*))?"
)


def canonical(answer: str) -> str:
    """An answer without what its meaning does not hang on: delimiters, spaces, sizes, how a number is written.

    The canonical form of a canonical form is the same.
    """
    answer, before = answer.strip(), None
    while answer != before and len(answer) <= LONGEST:
        before = answer
        answer = _number(_rewritten(_unwrapped(answer))).strip()
    return answer


def _unwrapped(answer: str) -> str:
    """Without the delimiters around the whole of it."""
    match = _WRAPPED.fullmatch(answer)
    if match is None or not _balanced(match["braces"] or ""):
        return answer
    return next(content for content in match.groups() if content is not None)


def _balanced(text: str) -> bool:
    depth = 0
    for character in _ESCAPED.sub("", text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _rewritten(answer: str) -> str:
    if _NUMBER.fullmatch(answer):
        return answer
    for pattern, replacement in _REWRITTEN:
        answer = pattern.sub(replacement, answer)
    return answer


def _number(answer: str) -> str:
    """A number without separators of thousands, zeros that say nothing, and the sign of 0."""
    match = _NUMBER.fullmatch(answer)
    if match is None or not (match["whole"] or match["rest"]):
        return answer
    whole, rest = re.sub("[^0-9]", "", match["whole"]).lstrip("0"), (match["rest"] or "").rstrip("0")
    number = (whole or "0") + (f".{rest}" if rest else "")
    return number if number == "0" else match["sign"] + number
