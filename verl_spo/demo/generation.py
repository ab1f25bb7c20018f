"""Batched sampling from a tiny model in plain torch, for measuring it and for experiments without a rollout engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Responses:
    """A batch of n prompts, padded on the left to p tokens, and their responses, padded on the right to t tokens.

    Attributes:
        prompts: (n, p) int64 token ids.
        prompt_mask: (n, p) int64, 1 where a token is not padding.
        tokens: (n, t) int64 token ids; a response that ended contains its end token.
        mask: (n, t) int64, 1 where the model generated the token.
    """

    prompts: Tensor
    prompt_mask: Tensor
    tokens: Tensor
    mask: Tensor

    def texts(self, tokenizer: Any) -> list[str]:
        """(n,) responses as a reward function sees them."""
        ids = [row[kept.bool()] for row, kept in zip(self.tokens, self.mask, strict=True)]
        texts: list[str] = tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts


@torch.no_grad()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Responses:
    """One response per prompt, from a causal language model whose generation config names its end and padding tokens.

    Args:
        model: A `transformers` causal language model.
        prompts: n lists of token ids, none empty.
        max_new_tokens: Responses are cut here. At least 1.
        temperature: 0 is greedy.
        generator: Source of chance; torch's global one if None.
    """
    end, pad = model.generation_config.eos_token_id, model.generation_config.pad_token_id
    prompt_ids, prompt_mask = _pad_left(prompts, pad)
    tokens, attention, cache = prompt_ids, prompt_mask, None
    position = (attention.cumsum(dim=1) - 1).clamp(min=0)
    running = torch.ones(len(prompts), dtype=torch.bool)
    columns, masks = [], []
    for _ in range(max_new_tokens):
        output = model(
            input_ids=tokens,
            attention_mask=attention,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = output.past_key_values
        chosen = _choose(output.logits[:, -1], temperature, generator).masked_fill(~running, pad)
        columns.append(chosen)
        masks.append(running.long())
        running = running & (chosen != end)
        if not running.any():
            break
        tokens = chosen[:, None]
        attention = torch.cat([attention, attention.new_ones(len(prompts), 1)], dim=1)
        position = position[:, -1:] + 1
    return Responses(prompt_ids, prompt_mask, torch.stack(columns, dim=1), torch.stack(masks, dim=1))


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """(n,) token ids from (n, vocabulary) logits."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = (logits / temperature).softmax(dim=-1)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def _pad_left(sequences: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """(n, longest) ids and mask."""
    longest = max(map(len, sequences))
    ids = [[pad] * (longest - len(sequence)) + list(sequence) for sequence in sequences]
    mask = [[0] * (longest - len(sequence)) + [1] * len(sequence) for sequence in sequences]
    return torch.tensor(ids), torch.tensor(mask)
