"""The problems of a published set: each once, without instructions, those in Chinese left out where that is asked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from verl_spo.datasets.prompts import Problem, without_instruction
from verl_spo.datasets.reading import read
from verl_spo.datasets.sources import Source
from verl_spo.errors import DataError

_CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")


@dataclass
class Collection:
    """Problems in the order of their first rows, and what was left out."""

    problems: list[Problem] = field(default_factory=list)
    rows: int = 0
    repeated: int = 0
    """Rows with a question that an earlier row has."""
    contradicting: int = 0
    """Of these, rows with another answer; the first row counts."""
    chinese: int = 0

    def summary(self) -> dict[str, int]:
        """Counts, by what they count."""
        counted = ("rows", "repeated", "contradicting", "chinese")
        return {**{name: getattr(self, name) for name in counted}, "problems": len(self.problems)}


def collect(files: Iterable[Path], source: Source) -> Collection:
    """All problems of a set's files.

    Raises:
        DataError: A file cannot be read, has other columns or prompts than it should, or lacks a question or an answer.
    """
    collection, answers = Collection(), dict[str, str]()
    for file in files:
        for question, answer in read(file, source):
            _add(collection, answers, _problem(file, collection.rows, question, answer, source), source)
            collection.rows += 1
    if not collection.problems:
        raise DataError(f"{source.name}: {collection.rows} rows have been read, and none is of use")
    return collection


def _add(collection: Collection, answers: dict[str, str], problem: Problem, source: Source) -> None:
    if (earlier := answers.get(problem.question)) is not None:
        collection.repeated += 1
        collection.contradicting += earlier != problem.answer
        return
    answers[problem.question] = problem.answer
    if source.english_only and _CHINESE.search(problem.question):
        collection.chinese += 1
    else:
        collection.problems.append(problem)


def _problem(file: Path, row: int, prompt: str | None, answer: str | None, source: Source) -> Problem:
    where = f"{file}: row {row} of the set"
    if not (prompt and prompt.strip()) or not (answer and answer.strip()):
        raise DataError(f"{where} has no {'answer' if prompt and prompt.strip() else 'question'}")
    question = without_instruction(prompt, source.asks)
    if question is None:
        raise DataError(f"{where} does not ask as {source.repository} did: {prompt[:200]!r}")
    return Problem(source.data_source, question.strip(), _canonical(answer.strip()), extra={"source_row": row})


def _canonical(answer: str) -> str:
    """AIME's answers are written 025 in places, and math_dapo compares text."""
    return str(int(answer)) if _WHOLE_NUMBER.fullmatch(answer) else answer
