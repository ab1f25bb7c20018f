import pytest

from verl_spo.wording import byte_size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1.5 * 2**20, "1.5 MiB"),
        (2**30, "1.0 GiB"),
        (2**60, "1048576.0 TiB"),
    ],
)
def test_sizes_have_binary_units(count: float, text: str) -> None:
    assert byte_size(count) == text
