"""How a report can be written."""

from enum import StrEnum


class Format(StrEnum):
    """A format of a report."""

    MARKDOWN = "md"
    JSON = "json"
    HTML = "html"
