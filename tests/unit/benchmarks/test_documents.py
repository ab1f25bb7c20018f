import pytest

from benchmarks.documents import between_marks


def test_tables_replace_what_stands_between_their_marks():
    document = "before\n<!-- begin lab default -->\nold\n<!-- end lab default -->\nafter\n"
    expected = document.replace("old", "new")
    assert between_marks(document, "lab default", "new") == expected
    with pytest.raises(ValueError, match="lab other"):
        between_marks(document, "lab other", "new")
