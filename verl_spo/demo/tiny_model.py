"""A tiny Qwen3 model that can add and is careless at it: what the demo and the benchmarks start from.

Its supervised training shows it the work of somebody who forgets most carries (`problems.careless_answer`). So it
learns how to carry, but does it rarely: about a third of its answers are right, most where nothing is carried and few
where much is. That is a policy as reinforcement learning wants it: the knowledge is there, the habit is not.
"""

import json
import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from verl_spo.demo.arithmetic import DATA_SOURCE, PromptSet
from verl_spo.demo.generation import generate
from verl_spo.demo.pretraining import limited_threads, pretrain
from verl_spo.demo.problems import Problem
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.rewards import compute_score
from verl_spo.demo.tokenizer import build_tokenizer, encode_questions
from verl_spo.errors import DataError

CARD_FILE = "tiny_model.json"
MAX_ANSWER_TOKENS = 8
_SAMPLES = 4


@dataclass(frozen=True)
class Accuracy:
    """Share of right answers, in [0, 1]: sampled at temperature 1, greedy, and sampled by the carries needed."""

    sampled: float
    greedy: float
    sampled_by_carries: dict[str, float]


@dataclass(frozen=True)
class Card:
    """What a tiny model is and how good it is: stands beside its weights as `CARD_FILE`.

    Attributes:
        recipe: What it was trained by.
        prompts_digest: `PromptSet.digest` of the prompts that it was measured on.
        versions: Of what made it: the same ones give the same weights again.
        parameters: How many.
        train, validation: Accuracy on the two parts of the prompt set.
    """

    recipe: Recipe
    prompts_digest: str
    versions: dict[str, str]
    parameters: int
    train: Accuracy
    validation: Accuracy


@dataclass(frozen=True)
class TinyModel:
    """A model with its tokenizer and its card."""

    model: Qwen3ForCausalLM
    tokenizer: PreTrainedTokenizerFast
    card: Card

    def save(self, folder: Path) -> None:
        """Write an ordinary Hugging Face folder and the card, which comes last: without it the folder is unfinished."""
        (folder / CARD_FILE).unlink(missing_ok=True)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        (folder / CARD_FILE).write_text(json.dumps(asdict(self.card), indent=2) + "\n")


def make_tiny_model(
    prompts: PromptSet, recipe: Recipe | None = None, on_step: Callable[[float], None] = lambda loss: None
) -> TinyModel:
    """Train a tiny model that has seen none of the validation prompts, and measure it.

    `on_step` is called after each of `recipe.steps` steps with its loss, in nats per token.
    """
    recipe = recipe or Recipe()
    tokenizer = build_tokenizer(recipe.vocabulary_multiple)
    model = pretrain(recipe, tokenizer, unseen=prompts.validation, on_step=on_step)
    with limited_threads(recipe.threads):
        card = Card(
            recipe=recipe,
            prompts_digest=prompts.digest,
            versions=versions(),
            parameters=model.num_parameters(),
            train=measure(model, tokenizer, prompts.train, seed=recipe.seed),
            validation=measure(model, tokenizer, prompts.validation, seed=recipe.seed),
        )
    return TinyModel(model, tokenizer, card)


def is_current(folder: Path, prompts: PromptSet, recipe: Recipe) -> bool:
    """Whether `folder` holds, complete, the model that `make_tiny_model` would make again."""
    card = read_card(folder) if (folder / CARD_FILE).is_file() else {}
    made_by = {"recipe": asdict(recipe), "prompts_digest": prompts.digest, "versions": versions()}
    return all(card.get(name) == value for name, value in made_by.items())


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model folder, as JSON.

    Raises:
        DataError: there is none, or it is damaged.
    """
    file = folder / CARD_FILE
    remedy = "make the model with `verl-spo data tiny-model`"
    if not file.is_file():
        raise DataError(f"{file}: there is no such file; {remedy}")
    try:
        card = json.loads(file.read_text())
    except ValueError as error:
        raise DataError(f"{file}: not JSON; {remedy}") from error
    if not isinstance(card, dict):
        raise DataError(f"{file}: not a model's card; {remedy}")
    return card


def measure(
    model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, problems: Sequence[Problem], seed: int = 0
) -> Accuracy:
    """Accuracy on these problems, with a few samples of each."""
    generator = torch.Generator().manual_seed(seed)
    sampled = [_scores(model, tokenizer, problems, 1.0, generator) for _ in range(_SAMPLES)]
    by_carries: dict[str, list[float]] = defaultdict(list)
    for problem, scores in zip(problems, zip(*sampled, strict=True), strict=True):
        by_carries[str(problem.carries)].extend(scores)
    return Accuracy(
        sampled=fmean(map(fmean, sampled)),
        greedy=fmean(_scores(model, tokenizer, problems, 0.0, generator)),
        sampled_by_carries={carries: fmean(scores) for carries, scores in sorted(by_carries.items())},
    )


def _scores(
    model: Qwen3ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[Problem],
    temperature: float,
    generator: torch.Generator,
) -> list[float]:
    """One response a problem, scored."""
    responses = generate(
        model,
        encode_questions(tokenizer, [problem.question for problem in problems]),
        max_new_tokens=MAX_ANSWER_TOKENS,
        temperature=temperature,
        generator=generator,
    )
    return [
        compute_score(DATA_SOURCE, text, problem.answer)["score"]
        for text, problem in zip(responses.texts(tokenizer), problems, strict=True)
    ]


def versions() -> dict[str, str]:
    """Of what makes a tiny model: the same ones give the same weights again."""
    packages = ("verl-spo", "torch", "transformers", "tokenizers", "numpy")
    # torch's distribution does not say which build it is, and another build gives other weights.
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "torch": torch.__version__,
    }
