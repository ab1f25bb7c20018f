"""A second task, of another kind than addition: digits in ascending order, with credit for what is right so far.

The starting policy has learnt it from somebody careless, who now and then swaps two neighbours. Answers have up to ten
tokens, and every reward in [0, 1] is the share of the right answer's tokens, the end among them, before the first
mistake: what a response gets when it is judged step by step.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.learning.lab.task import Task, make_task
from verl_spo.demo.pretraining import Lessons, pretrain_on
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tiny_model import versions
from verl_spo.demo.tokenizer import build_tokenizer

RECIPE = Recipe(slip=0.35, steps=900)
"""Here `slip` is how often two neighbours are swapped."""

ANSWER_TOKENS = 10
VALIDATION = 256
_LENGTHS = range(3, ANSWER_TOKENS)
_CARD = "sorting.json"


@dataclass(frozen=True, slots=True)
class Digits:
    """Some digits, to be sorted."""

    given: str

    @property
    def question(self) -> str:
        """What the user's message says."""
        return f"sort {self.given}"

    @property
    def answer(self) -> str:
        """All of them in ascending order."""
        return "".join(sorted(self.given))


def draw_digits(rng: np.random.Generator, count: int) -> list[Digits]:
    """Independent problems of three to nine digits, repetitions included."""
    lengths = rng.integers(_LENGTHS.start, _LENGTHS.stop, count)
    return [Digits("".join(map(str, rng.integers(0, 10, length)))) for length in lengths.tolist()]


def careless_order(problem: Digits, slip: float, rng: np.random.Generator) -> str:
    """The answer of somebody who swaps two neighbours with probability `slip`, in [0, 1]; nothing is swapped twice."""
    digits, place = list(problem.answer), 0
    while place + 1 < len(digits):
        if rng.random() < slip:
            digits[place : place + 2] = reversed(digits[place : place + 2])
            place += 1
        place += 1
    return "".join(digits)


def make_sorting(folder: Path, pool: int, on_step: Callable[[float], None] = lambda loss: None) -> Task:
    """The task, with its starting policy, which is kept in a folder and made if it is not there."""
    problems = _distinct(np.random.default_rng(0), pool + VALIDATION)
    train, validation = problems[:pool], problems[pool:]
    card = {"recipe": asdict(RECIPE), "versions": versions(), "pool": pool}
    if not (folder / _CARD).is_file() or json.loads((folder / _CARD).read_text()) != card:
        tokenizer = build_tokenizer()
        pretrain_on(_lessons(frozenset(validation)), RECIPE, tokenizer, on_step).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / _CARD).write_text(json.dumps(card, indent=2) + "\n")
    return make_task(
        train,
        validation,
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        blake2b(json.dumps(card).encode(), digest_size=4).hexdigest(),
        answer_tokens=ANSWER_TOKENS,
        partial=True,
    )


def _distinct(rng: np.random.Generator, count: int) -> list[Digits]:
    found: dict[Digits, None] = {}
    while len(found) < count:
        found.update(dict.fromkeys(draw_digits(rng, count)))
    return list(found)[:count]


def _lessons(unseen: frozenset[Digits]) -> Lessons:
    """Careless answers to problems that are not for validation."""

    def draw(rng: np.random.Generator, count: int) -> Sequence[tuple[str, str]]:
        drawn: list[Digits] = []
        while len(drawn) < count:
            drawn += [problem for problem in draw_digits(rng, count) if problem not in unseen]
        return [(problem.question, careless_order(problem, RECIPE.slip, rng)) for problem in drawn[:count]]

    return draw
