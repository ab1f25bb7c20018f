"""Files like those of the published problem sets: same columns, other rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BEFORE = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: "
    "$Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
AFTER = '\n\nRemember to put your answer on its own line after "Answer:".'


def dapo_row(question: str, answer: str, index: str = "9a9b6eb4") -> dict[str, Any]:
    return {
        "data_source": "math_dapo",
        "prompt": [{"content": f"{BEFORE}{question}{AFTER}", "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": index},
    }


def aime_row(problem: str, answer: str) -> dict[str, Any]:
    """Of HuggingFaceH4/aime_2024."""
    return {
        "id": 60,
        "problem": problem,
        "solution": "...",
        "answer": answer,
        "url": "https://artofproblemsolving.com",
        "year": "2024",
    }


def arena_row(problem: str, answer: str | int) -> dict[str, Any]:
    """Of MathArena's sets."""
    return {"problem_idx": 1, "problem": problem, "answer": answer, "problem_type": ["Algebra"]}


def beyond_row(problem: str, answer: int) -> dict[str, Any]:
    return {"problem": problem, "answer": answer}


ROWS = {
    "dapo-math-17k": [dapo_row("What is $40 + 2$?", "42"), dapo_row("What is $1 + 1$?", "2")],
    "aime24": [aime_row("What is $5^2$?", "025"), aime_row("What is $10^2$?", "100")],
    "aime25": [arena_row("What is $7 \\cdot 10$?", "70")],
    "beyondaime": [beyond_row("What is $2^{10}$?", 1024)],
    "brumo25": [arena_row("What is $\\frac{1}{4} + \\frac{1}{4}$?", "\\frac{1}{2}")],
    "hmmt25": [arena_row("What is $\\sqrt{18}$?", "3\\sqrt{2}")],
}


def publish(folder: Path, rows: list[dict[str, Any]], name: str = "data/train-00000-of-00001.parquet") -> Path:
    """Write rows as a repository has them."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)
    return folder
