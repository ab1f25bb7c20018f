"""The policy: it samples responses to left-padded prompts, scores them, and knows its exact success rate."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from verl_spo.core.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class Tokens:
    """Prompts and responses side by side: columns [0, start) are left-padded prompts, the rest are responses.

    Attributes:
        ids: (n, T) int64.
        real: 1 where a token is no padding, (n, T) int64.
        start: Width of the prompts.
    """

    ids: Tensor
    real: Tensor
    start: int

    @property
    def mask(self) -> Tensor:
        """1 for the tokens of responses, (n, T - start) float."""
        return self.real[:, self.start :].float()

    @property
    def lengths(self) -> IntArray:
        """Tokens of each response, (n,)."""
        lengths: IntArray = self.real[:, self.start :].sum(1).numpy()
        return lengths

    @property
    def prompts(self) -> "Tokens":
        """Without the responses."""
        return Tokens(self.ids[:, : self.start], self.real[:, : self.start], self.start)

    def rows(self, index: IntArray | slice) -> "Tokens":
        """Some of the rows."""
        return Tokens(self.ids[index], self.real[index], self.start)


@dataclass(frozen=True)
class Samples:
    """Responses with the log-probs they were drawn with.

    Attributes:
        tokens: Prompts and responses.
        log_probs: Of the response tokens, (n, T - start); 0 at padding.
    """

    tokens: Tokens
    log_probs: Tensor

    def rows(self, index: IntArray | slice) -> "Samples":
        """Some of the rows."""
        return Samples(self.tokens.rows(index), self.log_probs[index])

    @classmethod
    def joined(cls, parts: Sequence["Samples"]) -> "Samples":
        """All rows of parts that are as wide as each other."""
        tokens = Tokens(
            torch.cat([part.tokens.ids for part in parts]),
            torch.cat([part.tokens.real for part in parts]),
            parts[0].tokens.start,
        )
        return cls(tokens, torch.cat([part.log_probs for part in parts]))


def pad_left(sequences: list[list[int]], width: int) -> Tokens:
    """Prompts alone, (n, width)."""
    ids, real = (
        torch.zeros(len(sequences), width, dtype=torch.int64),
        torch.zeros(len(sequences), width, dtype=torch.int64),
    )
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence)
        real[row, width - len(sequence) :] = 1
    return Tokens(ids, real, width)


def append(prompts: Tokens, responses: list[list[int]], width: int) -> Tokens:
    """Prompts with responses, right-padded to `width`."""
    ids, real = (
        torch.zeros(len(responses), width, dtype=torch.int64),
        torch.zeros(len(responses), width, dtype=torch.int64),
    )
    for row, response in enumerate(responses):
        ids[row, : len(response)] = torch.tensor(response)
        real[row, : len(response)] = 1
    return Tokens(torch.cat([prompts.ids, ids], 1), torch.cat([prompts.real, real], 1), prompts.start)


def shares_right(responses: Tokens, answers: Tokens) -> FloatArray:
    """Share of each right answer's tokens that a response has before its first mistake, (n,); both (n, T)."""
    same = (responses.ids == answers.ids) & responses.real.bool()
    right = same[:, answers.start :].long().cumprod(1) * answers.mask
    shares: FloatArray = (right.sum(1) / answers.mask.sum(1)).double().numpy()
    return shares


class Policy:
    """A causal language model that answers in at most `response_width` tokens.

    Attributes:
        model: Trained in place.
        passes: Log-prob passes over a batch without gradients, so far.
    """

    def __init__(self, model: PreTrainedModel, end_token: int, response_width: int) -> None:
        self.model = model.train()
        self._end, self._width = end_token, response_width
        self.passes = 0

    @torch.no_grad()
    def sample(self, prompts: Tokens, generator: torch.Generator) -> Samples:
        """One response per prompt at temperature 1."""
        n, cache = len(prompts.ids), DynamicCache()
        ids, log_probs = torch.zeros(n, self._width, dtype=torch.int64), torch.zeros(n, self._width)
        alive, real = torch.ones(n, dtype=torch.bool), prompts.real
        written = torch.zeros(n, self._width, dtype=torch.int64)
        step_ids, positions = prompts.ids, (real.cumsum(1) - 1).clamp(min=0)
        for column in range(self._width):
            logits = self._logits(step_ids, real, positions, cache, keep=1)[:, -1]
            scores = logits.log_softmax(-1)
            token = torch.multinomial(scores.exp(), 1, generator=generator)
            ids[alive, column] = token[alive, 0]
            log_probs[alive, column] = scores.gather(1, token)[alive, 0]
            written[:, column] = alive
            alive = alive & (token[:, 0] != self._end)
            if not alive.any():
                break
            real = torch.cat([real, torch.ones(n, 1, dtype=torch.int64)], 1)
            step_ids, positions = token, positions[:, -1:] + 1
        tokens = Tokens(torch.cat([prompts.ids, ids], 1), torch.cat([prompts.real, written], 1), prompts.start)
        return Samples(tokens, log_probs)

    def log_probs(self, tokens: Tokens) -> Tensor:
        """Of the response tokens, (n, T - start); 0 at padding. With gradients, unless they are off."""
        responses = tokens.ids[:, tokens.start :, None]
        return self._scores(tokens).gather(2, responses)[..., 0] * tokens.mask

    @torch.no_grad()
    def rescore(self, tokens: Tokens) -> Tensor:
        """`log_probs` as an algorithm's extra pass, counted."""
        self.passes += 1
        return self.frozen_log_probs(tokens)

    @torch.no_grad()
    def frozen_log_probs(self, tokens: Tokens) -> Tensor:
        """`log_probs`, without gradients."""
        return self.log_probs(tokens)

    @torch.no_grad()
    def success_rates(self, answers: Tokens) -> FloatArray:
        """Probability of sampling exactly the right answer at temperature 1, (n,): accuracy without sampling noise."""
        rates: FloatArray = self.log_probs(answers).sum(1).exp().double().numpy()
        return rates

    @torch.no_grad()
    def expected_shares(self, answers: Tokens) -> FloatArray:
        """Expected share of a right answer's tokens before the first mistake, at temperature 1, (n,), exactly."""
        so_far = self.log_probs(answers).cumsum(1).exp() * answers.mask
        shares: FloatArray = (so_far.sum(1) / answers.mask.sum(1)).double().numpy()
        return shares

    @torch.no_grad()
    def entropy(self, tokens: Tokens) -> float:
        """Mean over the response tokens of the entropy that they were drawn from, nats per token."""
        scores = self._scores(tokens)
        per_token = -(scores.exp() * scores).sum(-1)
        return float((per_token * tokens.mask).sum() / tokens.mask.sum())

    @torch.no_grad()
    def squared_logit_gradients(self, tokens: Tokens) -> FloatArray:
        """|grad log pi(y)|^2 by the logits, at each response token: 1 - 2p + the sum of all p^2, (n, T - start)."""
        scores = self._scores(tokens)
        chosen = scores.gather(2, tokens.ids[:, tokens.start :, None])[..., 0].exp()
        per_token = 1 - 2 * chosen + scores.exp().square().sum(-1)
        squares: FloatArray = (per_token * tokens.mask).double().numpy()
        return squares

    def _scores(self, tokens: Tokens) -> Tensor:
        """Log-probs of the whole vocabulary where the response tokens stand, (n, T - start, vocabulary)."""
        width = tokens.ids.shape[1] - tokens.start
        positions = (tokens.real.cumsum(1) - 1).clamp(min=0)
        return self._logits(tokens.ids, tokens.real, positions, None, keep=width + 1)[:, :-1].log_softmax(-1)

    def _logits(self, ids: Tensor, real: Tensor, positions: Tensor, cache: DynamicCache | None, keep: int) -> Tensor:
        logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=real,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=keep,
        ).logits
        return logits.float()
