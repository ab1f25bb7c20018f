import json

import pytest
from typer.testing import CliRunner

from verl_spo.cli.data import app
from verl_spo.demo.arithmetic import read_prompt_set
from verl_spo.demo.tiny_model import CARD_FILE
from verl_spo.errors import DataError


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def data(tmp_path):
    run("arithmetic", "--out", tmp_path / "data", "--train", 8, "--validation", 4)
    return tmp_path / "data"


def test_arithmetic_writes_what_was_asked_for(data):
    prompts = read_prompt_set(data)
    assert (len(prompts.train), len(prompts.validation)) == (8, 4)


def test_arithmetic_tells_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match="--train 0"):
        run("arithmetic", "--out", tmp_path, "--train", 0)


@pytest.mark.slow
def test_tiny_model_is_made_once(tmp_path, data):
    model = tmp_path / "model"
    arguments = ("tiny-model", "--out", model, "--data", data, "--steps", 1)
    assert "of the validation answers right" in run(*arguments)
    made = (model / CARD_FILE).stat().st_mtime_ns
    assert "of the validation answers right" in run(*arguments)
    assert (model / CARD_FILE).stat().st_mtime_ns == made
    run(*arguments, "--force")
    assert (model / CARD_FILE).stat().st_mtime_ns > made


def test_tiny_model_passes_its_options_on(tmp_path, data):
    run("tiny-model", "--out", tmp_path, "--data", data, "--steps", 1, "--seed", 5, "--slip", 0.25)
    recipe = json.loads((tmp_path / CARD_FILE).read_text())["recipe"]
    assert (recipe["steps"], recipe["seed"], recipe["slip"]) == (1, 5, 0.25)


def test_tiny_model_needs_the_prompts(tmp_path):
    with pytest.raises(DataError, match="verl-spo data arithmetic"):
        run("tiny-model", "--out", tmp_path / "model", "--data", tmp_path)
