"""Results in documents: what stands between two marks is written anew, all else is left alone."""


def between_marks(document: str, name: str, text: str) -> str:
    """Replace what stands between the marks of `name`.

    Raises:
        ValueError: The document has no such marks.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if begin not in document or end not in document:
        raise ValueError(f"the document has no marks {begin} ... {end} for these results; add them where they belong")
    head, _, rest = document.partition(begin)
    return f"{head}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
