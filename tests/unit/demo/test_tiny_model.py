import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from verl_spo.demo import tiny_model
from verl_spo.demo.arithmetic import PromptSet, make_prompt_set
from verl_spo.demo.generation import generate
from verl_spo.demo.problems import Problem
from verl_spo.demo.recipe import Recipe
from verl_spo.demo.tiny_model import CARD_FILE, is_current, make_tiny_model, measure, read_card
from verl_spo.demo.tokenizer import encode_questions
from verl_spo.errors import DataError

RECIPE = Recipe(steps=3, batch_size=8, hidden_size=32, intermediate_size=32, layers=1)
PROMPTS = make_prompt_set(12, 6)


@pytest.fixture(scope="module")
def made():
    return make_tiny_model(PROMPTS, RECIPE)


@pytest.fixture
def folder(made, tmp_path):
    made.save(tmp_path / "model")
    return tmp_path / "model"


def test_the_default_model_has_the_size_that_it_is_called_tiny_for():
    made = make_tiny_model(PROMPTS, Recipe(steps=1))
    assert 200_000 <= made.card.parameters <= 2_000_000


def test_the_folder_is_an_ordinary_hugging_face_model(made, folder):
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.dtype == torch.float32
    assert len(tokenizer) == model.get_input_embeddings().num_embeddings == model.config.vocab_size
    assert (folder / "model.safetensors").is_file()
    for name, weight in made.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight)
    questions = encode_questions(tokenizer, [problem.question for problem in PROMPTS.train])
    ours, theirs = (generate(m, questions, max_new_tokens=4, temperature=0.0).tokens for m in (made.model, model))
    assert torch.equal(ours, theirs)


def test_generation_ends_with_the_turn(folder, tokenizer):
    config = GenerationConfig.from_pretrained(folder)
    assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert (config.do_sample, config.temperature) == (True, 1.0)


def test_the_card_tells_what_the_model_is(made, folder):
    card = read_card(folder)
    assert card["prompts_digest"] == PROMPTS.digest
    assert card["recipe"]["steps"] == 3
    assert card["parameters"] == sum(weight.numel() for weight in made.model.parameters())
    assert card["versions"]["torch"] == torch.__version__
    assert set(card["train"]["sampled_by_carries"]) == {str(problem.carries) for problem in PROMPTS.train}


def test_a_complete_folder_is_current(folder):
    assert is_current(folder, PROMPTS, RECIPE)


@pytest.mark.parametrize("change", ["recipe", "prompts", "versions", "unfinished", "never made"])
def test_a_folder_of_anything_else_is_not(folder, tmp_path, monkeypatch, change):
    recipe, prompts = RECIPE, PROMPTS
    if change == "recipe":
        recipe = replace(RECIPE, seed=1)
    elif change == "prompts":
        prompts = make_prompt_set(12, 6, seed=1)
    elif change == "versions":
        monkeypatch.setattr(tiny_model, "versions", lambda: {"torch": "0.1"})
    elif change == "unfinished":
        (folder / CARD_FILE).unlink()
    else:
        folder = tmp_path / "elsewhere"
    assert not is_current(folder, prompts, recipe)


def test_saving_that_fails_leaves_no_card(made, folder, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(type(made.tokenizer), "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        made.save(folder)
    assert not is_current(folder, PROMPTS, RECIPE)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_missing_or_damaged_card_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / CARD_FILE).write_text(content)
    with pytest.raises(DataError, match=f"{CARD_FILE}.*verl-spo data tiny-model"):
        read_card(tmp_path)


def test_accuracy_counts_right_answers(made, tokenizer, monkeypatch):
    problems = (Problem(1, 2), Problem(9, 9), Problem(5, 5), Problem(99, 1))
    answers = iter([["3", "18", "0", "0"]] * 2 + [["3", "0", "0", "0"]] * 2 + [["3", "18", "10", "0"]])
    monkeypatch.setattr(tiny_model, "generate", lambda *_, **__: Scripted(next(answers)))
    accuracy = measure(made.model, tokenizer, problems)
    assert accuracy.sampled == pytest.approx(6 / 16)
    assert accuracy.greedy == pytest.approx(3 / 4)
    assert accuracy.sampled_by_carries == {"0": 1.0, "1": 0.25, "2": 0.0}


class Scripted:
    def __init__(self, texts):
        self._texts = texts

    def texts(self, _tokenizer):
        return self._texts


def test_measuring_is_repeatable_and_leaves_torchs_generator_alone(made, tokenizer):
    before = torch.random.get_rng_state()
    first = measure(made.model, tokenizer, PROMPTS.train, seed=1)
    assert measure(made.model, tokenizer, PROMPTS.train, seed=1) == first
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_card_is_plain_json(folder):
    assert json.loads((folder / CARD_FILE).read_text()) == read_card(folder)


def test_validation_problems_are_hidden_from_training(monkeypatch):
    hidden = {}

    def spy(recipe, tokenizer, unseen, on_step):
        hidden.update(dict.fromkeys(unseen))
        return original(recipe, tokenizer, unseen=unseen, on_step=on_step)

    original = tiny_model.pretrain
    monkeypatch.setattr(tiny_model, "pretrain", spy)
    make_tiny_model(PromptSet(train=PROMPTS.train, validation=PROMPTS.validation), RECIPE)
    assert set(hidden) == set(PROMPTS.validation)
