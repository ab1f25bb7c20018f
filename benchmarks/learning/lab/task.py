"""The task: prompts as tokens, rewards of responses, and the tiny model that every run starts from."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from benchmarks.learning.lab.policy import Policy, Tokens, append, pad_left
from verl_spo.core.arrays import FloatArray, IntArray
from verl_spo.demo.arithmetic import PromptSet
from verl_spo.demo.problems import Problem
from verl_spo.demo.rewards import compute_score
from verl_spo.demo.tiny_model import MAX_ANSWER_TOKENS
from verl_spo.demo.tokenizer import encode_questions

_LOOKED_AT = 512


@dataclass(frozen=True)
class Task:
    """A pool of prompts with verifiable answers.

    Attributes:
        prompts: The pool, (P, width).
        answers: Ground truths of the pool, (P,).
        pool: Prompts of the pool with their right answers, as the policy would write them: all, or a sample of 512;
            right even where `answers`, which are rewarded, are not.
        validation: Other prompts, likewise.
        tokenizer: Of the model.
        model: The starting policy, which stays as it is.
        policy_digest: Names it.
        later: What the task becomes in the middle of a run; None if it stays as it is.
    """

    prompts: Tokens
    answers: Sequence[str]
    pool: Tokens
    validation: Tokens
    tokenizer: Any
    model: Any
    policy_digest: str
    later: "Task | None" = None

    @property
    def size(self) -> int:
        """Prompts in the pool."""
        return len(self.answers)

    def policy(self, model: Any = None) -> Policy:
        """A policy of the given model; by default a fresh copy of the starting policy."""
        chosen = copy.deepcopy(self.model) if model is None else model
        return Policy(chosen, self.tokenizer.eos_token_id, MAX_ANSWER_TOKENS)

    def rewards(self, slots: IntArray, responses: Tokens) -> FloatArray:
        """1 for a right response, otherwise 0, (n,)."""
        kept = [row[real.bool()] for row, real in zip(*_responses(responses), strict=True)]
        texts = self.tokenizer.batch_decode(kept, skip_special_tokens=True)
        return np.array(
            [
                compute_score("arithmetic", text, self.answers[slot])["score"]
                for slot, text in zip(slots, texts, strict=True)
            ]
        )


def _responses(tokens: Tokens) -> tuple[Any, Any]:
    return tokens.ids[:, tokens.start :], tokens.real[:, tokens.start :]


def make_task(
    prompts: PromptSet,
    tokenizer: Any,
    model: Any,
    policy_digest: str,
    answer: Callable[[Problem], str] = attrgetter("answer"),
) -> Task:
    """The task of a prompt set; `answer` says what is right."""
    train, validation = questions(tokenizer, prompts.train), questions(tokenizer, prompts.validation)
    width = max(map(len, [*train, *validation]))
    everything = pad_left(train, width)
    # Slots are in random order.
    looked_at = slice(0, _LOOKED_AT)
    return Task(
        prompts=everything,
        answers=[answer(problem) for problem in prompts.train],
        pool=answered(tokenizer, everything.rows(looked_at), map(answer, prompts.train[looked_at])),
        validation=answered(tokenizer, pad_left(validation, width), map(answer, prompts.validation)),
        tokenizer=tokenizer,
        model=model,
        policy_digest=policy_digest,
    )


def answered(tokenizer: Any, prompts: Tokens, answers: Iterable[str]) -> Tokens:
    """Prompts with their right answers, as the policy would write them."""
    right = [[*tokenizer.encode(answer), tokenizer.eos_token_id] for answer in answers]
    return append(prompts, right, MAX_ANSWER_TOKENS)


def questions(tokenizer: Any, problems: Sequence[Problem]) -> list[list[int]]:
    """The prompts of problems as tokens."""
    return encode_questions(tokenizer, [problem.question for problem in problems])
