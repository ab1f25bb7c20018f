import math

import pytest

from benchmarks.coverage import CASES, SETTINGS, Row, covered, table


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_most_intervals_cover_the_truth(setting: str, case: str) -> None:
    """Of 500 draws the share has a standard error of 1 to 1.5 points; the table of docs/intervals.md has more."""
    assert covered(setting, case, problems=(30,), replications=500, resamples=0).ours > 89


def test_the_bootstrap_is_drawn_beside() -> None:
    row = covered("U-shaped", "avg@32", problems=(10, 20), replications=40, resamples=99)
    assert row.problems == "10 + 20"
    assert row.truth == pytest.approx(0.5, abs=0.01)
    assert min(row.ours, row.bca) > 80
    assert row.undefined == 0


def test_without_resamples_there_is_no_bootstrap() -> None:
    row = covered("hard", "difference of maj@32", problems=(30,), replications=3, resamples=0)
    assert (row.bca, row.undefined) == (0, 100)
    assert math.isfinite(row.width)


def test_the_table_is_markdown() -> None:
    lines = table([Row("hard", "avg@32", "30", 0.2, 95.0, 94.0, 0.0, 20.5)]).splitlines()
    assert lines[0].startswith("| setting | case | problems |")
    assert lines[2] == "| hard | avg@32 | 30 | 0.2 | 95.0 | 94.0 | 0.0 | 20.5 |"
