"""Single samples, as reports list them."""

import json
import re
from dataclasses import replace

from tests.support.evaluations import evaluated
from verl_spo.evaluation.drill_down import SampleLine, sample_lines
from verl_spo.evaluation.formats import Format
from verl_spo.evaluation.rendering import render
from verl_spo.evaluation.report import Report, build
from verl_spo.store.queries import SampleRow, VerdictRow

HOSTILE = "<script>alert(1)</script><img src=x onerror=y>"


def sample(number: int, response: str | None, **scores: float) -> SampleRow:
    verdicts = {name: VerdictRow(score, "7", "7", False) for name, score in scores.items()}
    return SampleRow(0, number, "stop", 9, 1, 0, "?", response, verdicts)


def report(samples: list[SampleLine]) -> Report:
    one = evaluated([[1, 0], [0, 0]])
    return build("demo/spo", [replace(one, samples={0: samples, 1: samples})])


def test_a_response_keeps_its_end_and_says_how_much_is_left_out() -> None:
    (line,) = sample_lines([sample(0, "a" * 90 + "the end", math_verify=1.0)], "7", 7)
    assert (line.text, line.left_out, line.answer) == ("the end", 90, "7")
    (none,) = sample_lines([sample(0, "abc", math_verify=1.0)], "7", 0)
    assert (none.text, none.left_out) == ("", 3)
    (short,) = sample_lines([sample(0, "abc", math_verify=1.0)], "7", 10)
    assert (short.text, short.left_out) == ("abc", 0)


def test_a_text_that_was_not_kept_has_no_doubts() -> None:
    (line,) = sample_lines([sample(0, None, math_verify=1.0, reference=0.0)], "7", 7)
    assert (line.text, line.doubts, line.answer) == (None, [], "7")


def test_only_who_is_judged_by_the_reference_needs_to_end_thoughts() -> None:
    strict, lenient = sample_lines(
        [sample(0, "7", math_verify=1.0, reference=1.0), sample(1, "7", math_verify=1.0)], "7", 7
    )
    assert (strict.doubts, lenient.doubts) == (["thoughts"], [])


def test_html_lists_samples_and_those_to_look_at_as_text() -> None:
    rows = [sample(0, f"{HOSTILE} 8", math_verify=1.0, reward=0.0), sample(1, None, math_verify=0.0)]
    text = render(report(sample_lines(rows, "7", 100)), Format.HTML)
    assert not re.search(r"<(script|img|iframe)", text.lower())
    assert "&lt;script&gt;alert(1)" in text
    assert "2 samples to look at" in text
    assert text.count("2 samples, 1 of them to look at") == 2
    assert "scorers disagree" in text
    assert "not kept" in text
    cut = render(report(sample_lines(rows, "7", 5)), Format.HTML)
    assert "… after 43 more characters (--text)" in cut


def test_json_has_samples_and_markdown_keeps_its_short_form() -> None:
    made = report(sample_lines([sample(0, "so it is 7", math_verify=1.0)], "7", 100))
    (line,) = json.loads(render(made, Format.JSON))["problems"]["aime_2024"][0]["samples"]
    assert (line["text"], line["scores"], line["finish"]) == ("so it is 7", {"math_verify": 1.0}, "stop")
    assert "so it is 7" not in render(made, Format.MARKDOWN)


def test_a_report_of_five_sets_stays_small() -> None:
    response = "x & y < z; " * 2000
    rows = [sample(number, response, math_verify=1.0, reference=0.0) for number in range(32)]
    lines = sample_lines(rows, "7", 200)
    one = evaluated([[1, 0] * 16] * 220)
    text = render(build("demo/spo", [replace(one, samples=dict.fromkeys(range(220), lines))]), Format.HTML)
    assert len(text.encode()) < 6_000_000
