"""Text on its way to a terminal: what a model, a data set or a name says is shown as it is, and steers nothing."""

import sys

from rich.text import Text


def printable(text: str) -> str:
    """Text without what could steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def plain(value: object) -> Text:
    """A value for rich to lay out, never read as markup."""
    return Text(printable(str(value)))


def say(text: str, error: bool = False) -> None:
    """Print a line, on stderr if it is of an error."""
    print(printable(text), file=sys.stderr if error else sys.stdout)
