"""Pools of prompts that are as hard for the starting policy as one wants them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.learning.lab.policy import pad_left
from benchmarks.learning.lab.task import Task, answered, make_task, questions
from verl_spo.core.arrays import FloatArray
from verl_spo.demo.arithmetic import PromptSet
from verl_spo.demo.problems import Problem, careless_answer, draw_problems

VALIDATION = 256
_DRAWN = 20_000


@dataclass(frozen=True)
class Class:
    """Prompts whose right answers the starting policy gives with a probability in [low, high].

    Attributes:
        share: Of the pool, in [0, 1].
        low: The least probability.
        high: The greatest.
        digits: Of both terms; None: as the demo draws them.
    """

    share: float
    low: float
    high: float
    digits: int | None = None


@dataclass(frozen=True)
class Pool:
    """What a pool is made of.

    Attributes:
        classes: Their shares add up to 1. Validation prompts are other ones of the last class.
        noise: Share of the pool whose ground truth is wrong, in [0, 1]: nobody is ever rewarded for the right answer.
    """

    classes: Sequence[Class]
    noise: float = 0.0


# The policy has never seen terms of six digits: these it does not learn here.
_NEVER = Class(0.45, 0.0, 0.001, digits=6)
POOLS: Mapping[str, Pool] = {
    "real": Pool((_NEVER, Class(0.35, 0.9, 1.0), Class(0.2, 0.05, 0.8))),
    "rare": Pool((Class(1.0, 0.02, 0.05),)),
    "noisy": Pool((Class(1.0, 0.0, 1.0),), noise=0.1),
}


def make_pool(start: Task, name: str, size: int) -> Task:
    """A task whose pool has the composition of a name, for the starting policy of `start`; always the same one."""
    pool, rng = POOLS[name], np.random.default_rng(0)
    train: list[Problem] = []
    for each in pool.classes:
        last = each is pool.classes[-1]
        found = _chosen(start, each, round(each.share * size) + VALIDATION * last, rng)
        train += found[: len(found) - VALIDATION * last]
    validation = found[-VALIDATION:]
    rng.shuffle(train)
    task = make_task(train, validation, start.tokenizer, start.model, start.policy_digest)
    return replace(task, answers=list(_with_noise(task.answers, pool.noise, rng)))


def _chosen(start: Task, each: Class, count: int, rng: np.random.Generator) -> list[Problem]:
    """So many distinct problems of a class."""
    found: dict[Problem, None] = {}
    while len(found) < count:
        drawn = list(dict.fromkeys(_candidates(each, rng)))
        rates = success_rates(start, drawn)
        inside = (rates >= each.low) & (rates <= each.high)
        found.update(dict.fromkeys(problem for problem, fits in zip(drawn, inside, strict=True) if fits))
    return list(found)[:count]


def _candidates(each: Class, rng: np.random.Generator) -> list[Problem]:
    if each.digits is None:
        return draw_problems(rng, _DRAWN)
    terms = rng.integers(10 ** (each.digits - 1), 10**each.digits, size=(_DRAWN, 2))
    return [Problem(left, right) for left, right in terms.tolist()]


def success_rates(start: Task, problems: Sequence[Problem]) -> FloatArray:
    """The starting policy's, exactly, (n,)."""
    tokens = questions(start.tokenizer, problems)
    prompts = pad_left(tokens, max(map(len, tokens)))
    return start.policy().success_rates(answered(start.tokenizer, prompts, [each.answer for each in problems]))


def without_carries(start: Task, prompts: PromptSet) -> Task:
    """The same prompts, where the answer of somebody who forgets every carry is the right one."""

    def answer(problem: Problem) -> str:
        return careless_answer(problem, 1.0, np.random.default_rng(0))

    return make_task(prompts.train, prompts.validation, start.tokenizer, start.model, start.policy_digest, answer)


def _with_noise(answers: Sequence[str], share: float, rng: np.random.Generator) -> Iterator[str]:
    """A wrong answer is off by 1 to 9, as a slip of whoever labelled the data."""
    wrong = rng.random(len(answers)) < share
    for answer, is_wrong, slip in zip(answers, wrong, rng.integers(1, 10, len(answers)), strict=True):
        yield str(int(answer) + int(slip)) if is_wrong else answer
