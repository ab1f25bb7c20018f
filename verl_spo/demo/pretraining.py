"""Supervised training of a tiny Qwen3 model: on careless additions, or on other lessons."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from verl_spo.demo.problems import Problem, careless_answer, draw_problems
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tokenizer import encode_questions

_MAX_POSITIONS = 512
# For texts of a few dozen tokens and a width of 128. With the defaults, made for large models, the model takes up to
# twice as many steps to find out which digits belong together, and how many depends much more on the seed.
_ROPE_THETA = 100.0
_INITIAL_STD = 0.06

_NO_LABEL = -100
_BETAS = (0.9, 0.98)
_WEIGHT_DECAY = 0.01
_MAX_GRADIENT_NORM = 1.0
_WARMUP_STEPS = 100
_FINAL_LR_SHARE = 0.1

Lessons = Callable[[np.random.Generator, int], Sequence[tuple[str, str]]]
"""Draws so many questions with the answers that are shown."""


def pretrain(
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    unseen: Collection[Problem],
    on_step: Callable[[float], None] = lambda loss: None,
) -> Qwen3ForCausalLM:
    """A model trained by the recipe on careless additions other than those in `unseen`: see `pretrain_on`."""
    return pretrain_on(partial(_careless_additions, recipe.slip, frozenset(unseen)), recipe, tokenizer, on_step)


def pretrain_on(
    lessons: Lessons,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerFast,
    on_step: Callable[[float], None] = lambda loss: None,
) -> Qwen3ForCausalLM:
    """A model trained by the recipe on some lessons, in float32 on the CPU.

    The same recipe gives the same weights on the same machine, and torch's global generator is left as it was.
    `on_step` is called after each step with its loss, in nats per token.
    """
    with torch.random.fork_rng(devices=[]), limited_threads(recipe.threads):
        torch.manual_seed(recipe.seed)
        model = Qwen3ForCausalLM(model_config(recipe, tokenizer)).float().train()
        model.generation_config = GenerationConfig(
            do_sample=True,
            temperature=1.0,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        _fit(model, recipe, _batches(recipe, tokenizer, lessons), on_step)
    return model.eval()


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """torch on this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def model_config(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """The shape of a tiny model."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        # The smallest that vLLM's CPU attention takes.
        head_dim=32,
        max_position_embeddings=_MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA},
        initializer_range=_INITIAL_STD,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _fit(
    model: Any, recipe: Recipe, batches: Iterator[tuple[Tensor, Tensor]], on_step: Callable[[float], None]
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, betas=_BETAS, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _lr_share(step, recipe.steps))
    for _ in range(recipe.steps):
        tokens, labels = next(batches)
        logits = model(input_ids=tokens).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=_NO_LABEL)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        on_step(loss.item())


def _lr_share(step: int, steps: int) -> float:
    """Share of the peak learning rate at a 0-based step."""
    warmup = min(1.0, (step + 1) / _WARMUP_STEPS)
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return warmup * (_FINAL_LR_SHARE + (1 - _FINAL_LR_SHARE) * cosine)


def _batches(recipe: Recipe, tokenizer: PreTrainedTokenizerFast, lessons: Lessons) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: (n, length) token ids, and as labels the answers' ids alone."""
    rng = np.random.default_rng(recipe.seed)
    while True:
        questions, answers = zip(*lessons(rng, recipe.batch_size), strict=True)
        ended = [answer + tokenizer.eos_token for answer in answers]
        written = tokenizer(ended, add_special_tokens=False)["input_ids"]
        yield _pad_right(encode_questions(tokenizer, questions), written, tokenizer.pad_token_id)


def _careless_additions(
    slip: float, unseen: frozenset[Problem], rng: np.random.Generator, count: int
) -> Sequence[tuple[str, str]]:
    problems = _draw_others(rng, count, unseen)
    return [(problem.question, careless_answer(problem, slip, rng)) for problem in problems]


def _draw_others(rng: np.random.Generator, count: int, hidden: frozenset[Problem]) -> list[Problem]:
    drawn: list[Problem] = []
    while len(drawn) < count:
        drawn.extend(problem for problem in draw_problems(rng, count) if problem not in hidden)
    return drawn[:count]


def _pad_right(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    longest = max(map(len, rows))
    tokens = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    labels = torch.full_like(tokens, _NO_LABEL)
    for row, prompt, answer in zip(labels, prompts, answers, strict=True):
        row[len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    return tokens, labels
