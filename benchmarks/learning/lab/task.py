"""The task: prompts as tokens, rewards of responses, and the tiny model that every run starts from."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol

import numpy as np

from benchmarks.learning.lab.policy import Policy, Tokens, append, pad_left, shares_right
from verl_spo.core.arrays import FloatArray, IntArray
from verl_spo.demo.rewards import compute_score
from verl_spo.demo.tiny_model import MAX_ANSWER_TOKENS
from verl_spo.demo.tokenizer import encode_questions

_LOOKED_AT = 512


class Question(Protocol):
    """A problem."""

    @property
    def question(self) -> str:
        """What the user's message says."""


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
        answer_tokens: That a response has at most.
        partial: Whether a response is rewarded by the share of its answer's tokens before the first mistake, the end
            among them; else it gets 1 for the right answer and otherwise 0.
        later: What the task becomes in the middle of a run; None if it stays as it is.
    """

    prompts: Tokens
    answers: Sequence[str]
    pool: Tokens
    validation: Tokens
    tokenizer: Any
    model: Any
    policy_digest: str
    answer_tokens: int = MAX_ANSWER_TOKENS
    partial: bool = False
    later: "Task | None" = None

    @property
    def size(self) -> int:
        """Prompts in the pool."""
        return len(self.answers)

    def policy(self, model: Any = None) -> Policy:
        """A policy of the given model; by default a fresh copy of the starting policy."""
        chosen = copy.deepcopy(self.model) if model is None else model
        return Policy(chosen, self.tokenizer.eos_token_id, self.answer_tokens)

    def expected(self, policy: Policy) -> FloatArray:
        """The exact expectation of the reward of each prompt of `pool`, (n,)."""
        return policy.expected_shares(self.pool) if self.partial else policy.success_rates(self.pool)

    def rewards(self, slots: IntArray, responses: Tokens) -> FloatArray:
        """Of responses to some prompts, in [0, 1], (n,)."""
        if self.partial:
            answers = [self.answers[slot] for slot in slots]
            return shares_right(responses, answered(self.tokenizer, responses.prompts, answers, self.answer_tokens))
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
    train: Sequence[Question],
    validation: Sequence[Question],
    tokenizer: Any,
    model: Any,
    policy_digest: str,
    answer: Callable[[Any], str] = attrgetter("answer"),
    answer_tokens: int = MAX_ANSWER_TOKENS,
    partial: bool = False,
) -> Task:
    """The task of some problems; `answer` says what is right."""
    asked, held_out = questions(tokenizer, train), questions(tokenizer, validation)
    width = max(map(len, [*asked, *held_out]))
    everything = pad_left(asked, width)
    # Slots are in random order.
    looked_at = slice(0, _LOOKED_AT)
    return Task(
        prompts=everything,
        answers=[answer(problem) for problem in train],
        pool=answered(tokenizer, everything.rows(looked_at), map(answer, train[looked_at]), answer_tokens),
        validation=answered(tokenizer, pad_left(held_out, width), map(answer, validation), answer_tokens),
        tokenizer=tokenizer,
        model=model,
        policy_digest=policy_digest,
        answer_tokens=answer_tokens,
        partial=partial,
    )


def answered(tokenizer: Any, prompts: Tokens, answers: Iterable[str], answer_tokens: int = MAX_ANSWER_TOKENS) -> Tokens:
    """Prompts with their right answers, as the policy would write them."""
    right = [[*tokenizer.encode(answer), tokenizer.eos_token_id] for answer in answers]
    return append(prompts, right, answer_tokens)


def questions(tokenizer: Any, problems: Sequence[Question]) -> list[list[int]]:
    """The prompts of problems as tokens."""
    return encode_questions(tokenizer, [problem.question for problem in problems])
