"""The published sets: where they lie, what of their columns is read, and what they are called in metrics."""

from dataclasses import dataclass
from typing import Literal

from verl_spo.datasets.prompts import Style

Place = tuple[str | int, ...]
"""Where a value lies in a row: a column, fields of structures, places in lists."""


@dataclass(frozen=True, slots=True)
class Source:
    """A set on the Hugging Face hub."""

    name: str
    """Of the command `verl-spo data NAME`, and of the file it writes."""
    title: str
    repository: str
    split: Literal["train", "test"]
    """What it is for."""
    data_source: str
    question: Place = ("problem",)
    answer: Place = ("answer",)
    asks: Style = "plain"
    """The instruction that its prompts have already."""
    english_only: bool = False
    """Whether problems in Chinese are left out."""


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="dapo-math-17k",
            title="DAPO-Math-17k, its English problems, each once",
            repository="BytedTsinghua-SIA/DAPO-Math-17k",
            split="train",
            data_source="math_dapo",
            question=("prompt", 0, "content"),
            answer=("reward_model", "ground_truth"),
            asks="answer",
            english_only=True,
        ),
        Source("aime24", "AIME 2024, I and II", "HuggingFaceH4/aime_2024", "test", "aime_2024"),
        Source("aime25", "AIME 2025, I and II", "MathArena/aime_2025", "test", "aime_2025"),
        Source("beyondaime", "BeyondAIME", "ByteDance-Seed/BeyondAIME", "test", "beyondaime"),
        Source("brumo25", "BRUMO 2025", "MathArena/brumo_2025", "test", "brumo_2025"),
        Source("hmmt25", "HMMT, February 2025", "MathArena/hmmt_feb_2025", "test", "hmmt_feb_2025"),
    )
}
