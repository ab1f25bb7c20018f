"""What a report says, and how it is written down."""

import json
import math
import re
from dataclasses import replace

import pytest

from tests.support.evaluations import evaluated
from tests.support.hostile import HOSTILE
from verl_spo.errors import ConfigError, DataError
from verl_spo.evaluation.evaluated import MEAN
from verl_spo.evaluation.formats import Format
from verl_spo.evaluation.rendering import cell, interval, render
from verl_spo.evaluation.report import Report, build

SOME = [[1, 0], [0, 0], [1, 1], [0, 0]]
MORE = [[1, 1], [1, 0], [1, 0], [0, 0]]


@pytest.fixture
def full() -> Report:
    """Two benchmarks against an earlier step, with a curve."""
    after = [evaluated(MORE, step=20), evaluated(MORE, "brumo_2025", step=20)]
    before = [evaluated(SOME), evaluated(SOME, "brumo_2025")]
    return build("demo/spo, step 20", after, ("demo/spo, step 10", before), [*before, *after])


def test_a_benchmark_has_a_line_and_their_mean_another(full: Report) -> None:
    assert [line.benchmark for line in full.lines] == ["aime_2024", "brumo_2025", MEAN]
    first, _, mean = full.lines
    assert list(first.figures) == ["avg@2", "maj@2", "verl_maj@2", "pass@2", "pass^2"]
    assert first.figures["avg@2"].mean == mean.figures["avg@2"].mean == 0.5
    assert mean.figures["avg@2"].standard_error < first.figures["avg@2"].standard_error
    assert first.published == {"SPO": 0.84, "GRPO": 0.833}
    assert mean.published == pytest.approx({"SPO": (0.84 + 0.64) / 2, "GRPO": (0.833 + 0.567) / 2})
    assert math.isnan(first.smallest_difference)


def test_what_so_many_problems_can_tell_apart_is_known_for_32_samples() -> None:
    some = [[1, 0] * 16] * 30
    one, other, mean = build("demo/spo", [evaluated(some), evaluated([*some, *some], "brumo_2025")]).lines
    assert one.smallest_difference == pytest.approx(0.13 * 2.045 / math.sqrt(30), rel=1e-3)
    assert one.smallest_difference > other.smallest_difference > mean.smallest_difference
    assert mean.smallest_difference == pytest.approx(0.13 * 1.991 / math.sqrt(80), rel=1e-3)


def test_an_unpublished_benchmark_has_nothing_beside_it() -> None:
    (line,) = build("demo/spo", [evaluated(SOME, "arithmetic")]).lines
    assert line.published == {}


def test_benchmarks_of_unlike_samples_are_compared_at_what_all_have() -> None:
    report = build("demo/spo", [evaluated(SOME), evaluated([[1], [0]], "brumo_2025")])
    assert [list(line.figures)[:2] for line in report.lines] == [["avg@1", "maj@1"]] * 3


def test_what_a_reader_must_know_is_said(full: Report) -> None:
    notes = " ".join(full.notes)
    assert "verl_maj@2 is verl's own maj@2" in notes
    assert "8 problems: avg@2 has a standard error of" in notes
    assert "(mean of sets), the two policies cannot be told apart" in notes.replace("By avg@2 ", "")
    unfinished = build("demo/spo", [evaluated(SOME, wanted=4)])
    assert "aime_2024: 8 of 16 samples are there." in unfinished.notes


def test_doubts_and_failed_sessions_are_told() -> None:
    one = evaluated(SOME)
    doubtful = replace(
        one, doubts={"disagreement": 2, "truth_in_text": 1, "texts": 7}, results=replace(one.results, failed=3)
    )
    notes = build("demo/spo", [doubtful]).notes
    assert notes[-1] == (
        "aime_2024, of 7 samples with a text: scorers disagree on 2, "
        "the right answer stands in 1 that nobody takes for right."
    )
    assert "3 sessions failed and count as wrong; of those with an answer alone, the mean score is 37.5" in notes[-2]


def test_figures_are_of_as_many_samples_as_asked_for() -> None:
    assert list(build("demo/spo", [evaluated(SOME)], ks=[1]).lines[0].figures)[:3] == ["avg@1", "maj@1", "verl_maj@1"]
    with pytest.raises(ConfigError, match="k=3: a problem has 2 samples"):
        build("demo/spo", [evaluated(SOME)], ks=[3])


def test_figures_of_several_numbers_of_samples_stand_side_by_side() -> None:
    report = build("demo/spo", [evaluated(SOME)], ("before", [evaluated(MORE)]), ks=[1, 2])
    assert [name for name in report.lines[0].figures if "pass@" in name] == ["pass@1", "pass@2"]
    assert {"pass@1", "pass@2"} <= {each.figure for each in report.comparisons}
    assert any(note.startswith("4 problems: avg@2 has") for note in report.notes)
    with pytest.raises(ConfigError, match="k=3: a problem has 2 samples"):
        build("demo/spo", [evaluated(SOME)], ks=[1, 3])


def test_problems_come_with_their_answers_hardest_first(full: Report) -> None:
    lines = full.problems["aime_2024"]
    assert [line.place for line in lines] == [3, 1, 2, 0]
    assert [(each.vote, each.samples, each.score) for each in lines[1].answers] == [
        ("right", 1, 1.0),
        ("wrong", 1, 0.0),
    ]


def test_a_curve_takes_several_steps(full: Report) -> None:
    assert [(each.benchmark, each.figure, each.step) for each in full.curves][:4] == [
        ("aime_2024", "avg@2", 10),
        ("aime_2024", "maj@2", 10),
        ("aime_2024", "avg@2", 20),
        ("aime_2024", "maj@2", 20),
    ]
    assert build("demo/spo", [evaluated(SOME)], over_steps=[evaluated(SOME)]).curves == []


def test_runs_of_other_seeds_are_put_together_apart(full: Report) -> None:
    both = [evaluated(MORE), evaluated(SOME, "brumo_2025")]
    other = [evaluated(SOME), evaluated(SOME, "brumo_2025")]
    report = build("demo/spo", both, other_seeds=[other])
    found = {(each.benchmark, each.figure): each for each in report.seeds}
    assert found["aime_2024", "avg@2"].value.mean == pytest.approx((0.5 + 0.375) / 2)
    assert found["brumo_2025", "avg@2"].value.mean == 0.375
    with pytest.raises(DataError, match="aime_2024: the two were evaluated on other problems"):
        build("demo/spo", both, other_seeds=[[evaluated(SOME, problems_digest=b"q" * 16), other[1]]])
    assert found[MEAN, "avg@2"].runs == 2
    for to in (Format.MARKDOWN, Format.HTML):
        assert "Over 2 training runs" in render(report, to)
        assert "training runs" not in render(full, to)


def test_markdown_has_the_tables(full: Report) -> None:
    text = render(full, Format.MARKDOWN)
    assert text.startswith(r"# demo/spo, step 20 against demo/spo, step 10")
    assert re.search(r"\| aime\\_2024 \| 4 \| 50\.0 \[.*\] \|.*\| 84\.0 \| 83\.3 \|", text)
    assert "| mean of sets | 8 |" in text
    assert "### Won: 2 problems of aime" in text
    assert "## Over training" in text
    widths = {
        line.count("|") for line in text.splitlines() if line.startswith(("| aime\\_2024 | 4", "| benchmark | prob"))
    }
    assert len(widths) == 1


def test_json_has_everything(full: Report) -> None:
    document = json.loads(render(full, Format.JSON))
    assert document["lines"][0]["figures"]["avg@2"]["mean"] == 0.5
    assert document["lines"][-1]["length"] is None
    assert len(document["problems"]["brumo_2025"]) == 4


def test_html_is_one_file_that_loads_nothing(full: Report) -> None:
    text = render(full, Format.HTML)
    assert "<svg" in text
    assert "default-src 'none'" in text
    assert not re.search(r"<script|<link|@import|\bsrc=|url\(", text)
    assert not [address for address in re.findall(r"https?://[^\"' )<]+", text) if "www.w3.org" not in address]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "<img src=x onerror=y>", "](javascript:x)", HOSTILE["a lone surrogate"]]
)
@pytest.mark.parametrize("to", Format)
def test_what_problems_say_is_shown_as_text(text: str, to: Format) -> None:
    one = evaluated(MORE, benchmark=text)
    hostile = [type(problem)(problem.place, 1, "aime_2024", text, text) for problem in one.problems]
    after = type(one)(one.row, hostile, one.results)
    written = render(build(text, [after], (text, [evaluated(SOME, benchmark=text)])), to)
    if to is Format.HTML:
        assert not re.search(r"<(script|img|iframe)", written.lower())
    if to is Format.MARKDOWN:
        # What is not ours has a backslash before it: no tag, no image, no link.
        assert not re.search(r"(?<!\\)(<(?! 0\.001)|!\[|\]\()", written)


def test_a_cell_is_one_line_and_no_markdown() -> None:
    assert cell("a|b\n![x](y) <b>") == r"a\|b \!\[x\]\(y\) \<b\>"


def test_figures_are_in_points() -> None:
    (line,) = build("demo/spo", [evaluated([[1, 1]] * 30)]).lines
    assert interval(line.figures["avg@2"]) == "100.0 [88.4, 100.0]"
