"""What becomes a problem, and what is left out."""

import pytest

from tests.support.published import aime_row, dapo_row, publish
from verl_spo.datasets.collecting import collect
from verl_spo.datasets.prompts import Problem
from verl_spo.datasets.reading import find_files
from verl_spo.datasets.sources import SOURCES
from verl_spo.errors import DataError

DAPO, AIME = SOURCES["dapo-math-17k"], SOURCES["aime24"]


def collect_rows(folder, rows, source):
    return collect(find_files(publish(folder, rows)), source)


def test_each_problem_comes_once_without_its_instruction(tmp_path) -> None:
    rows = [dapo_row("What is $40 + 2$?", "42", f"{i}") for i in range(100)] + [dapo_row("And $1 + 1$?", "2")]
    found = collect_rows(tmp_path, rows, DAPO)
    assert found.problems == [
        Problem("math_dapo", "What is $40 + 2$?", "42", extra={"source_row": 0}),
        Problem("math_dapo", "And $1 + 1$?", "2", extra={"source_row": 100}),
    ]
    assert found.summary() == {"rows": 101, "repeated": 99, "contradicting": 0, "chinese": 0, "problems": 2}


def test_of_contradicting_answers_the_first_counts_and_the_others_are_counted(tmp_path) -> None:
    found = collect_rows(tmp_path, [dapo_row("What?", "1"), dapo_row("What?", "2"), dapo_row("What?", "01")], DAPO)
    assert [problem.answer for problem in found.problems] == ["1"]
    assert (found.repeated, found.contradicting) == (2, 1)


def test_problems_in_chinese_are_left_out_of_the_english_set(tmp_path) -> None:
    rows = [dapo_row("计算 $1+1$.", "2"), dapo_row("Let α ∈ ℝ, “x” — and naïve é.", "3"), dapo_row("计算 $1+1$.", "2")]
    found = collect_rows(tmp_path, rows, DAPO)
    assert [problem.answer for problem in found.problems] == ["3"]
    assert (found.rows, found.chinese, found.repeated) == (3, 1, 1)


@pytest.mark.parametrize(
    ("answer", "canonical"),
    [("025", "25"), (" 7 ", "7"), ("-03", "-3"), ("3\\sqrt{2}", "3\\sqrt{2}"), ("1.50", "1.50")],
)
def test_whole_numbers_are_written_without_leading_zeros(tmp_path, answer, canonical) -> None:
    assert collect_rows(tmp_path, [aime_row("?", answer)], AIME).problems[0].answer == canonical


@pytest.mark.parametrize(
    ("question", "answer", "lacking"),
    [(None, "1", "question"), ("  ", "1", "question"), ("?", None, "answer"), ("?", "", "answer")],
)
def test_a_row_without_a_question_or_an_answer_is_named(tmp_path, question, answer, lacking) -> None:
    rows = [aime_row("What?", "1"), aime_row(question, answer), aime_row("Where?", "3")]
    with pytest.raises(DataError, match=f"row 1 of the set has no {lacking}"):
        collect_rows(tmp_path, rows, AIME)


def test_prompts_that_ask_in_other_words_are_shown(tmp_path) -> None:
    rows = [dapo_row("What?", "1"), {**dapo_row("?", "1"), "prompt": [{"role": "user", "content": "Just think."}]}]
    with pytest.raises(DataError, match=r"row 1 of the set does not ask as BytedTsinghua.* did: 'Just think\.'"):
        collect_rows(tmp_path, rows, DAPO)


def test_a_set_of_nothing_is_an_error(tmp_path) -> None:
    rows = [dapo_row("计算", "2")]
    with pytest.raises(DataError, match="dapo-math-17k: 1 rows have been read, and none is of use"):
        collect_rows(tmp_path, rows, DAPO)
