"""Estimates of what is kept, against what tiny models keep."""

from pathlib import Path

import pytest
import torch
from torch import multiprocessing
from transformers import AutoConfig, AutoModelForCausalLM

from tests.support import megatron_memory
from tests.support.allocation import kept
from tests.support.megatron_memory import TOKENS, WORDS
from tests.support.planned import QWEN3_8B, megatron, tiny, training
from verl_spo.planning import activations
from verl_spo.training.architecture import Architecture
from verl_spo.training.parallelism import Parallelism

pytestmark = pytest.mark.slow

LENGTH = 256
WAYS = ((True, False, None), (True, True, None), (False, True, None), (False, True, 64))
"""To take log-probs: whether there is an update, whether the entropy is computed, and in chunks of how many tokens."""


@pytest.mark.slow
def test_megatron_layers_keep_what_is_estimated(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    multiprocessing.spawn(megatron_memory.layers, args=(tmp_path / "measured.json", tmp_path, LENGTH))
    measured = megatron_memory.read(tmp_path / "measured.json")["kept"]
    # The stand-in for Transformer Engine's attention keeps its output twice.
    estimate = activations.megatron_layer(model, megatron(gpus=1), fused=False) + 2 * model.query
    # Beside it sines and cosines of the rotation, which are of no account in a model that is not tiny.
    assert measured == pytest.approx(model.layers * LENGTH * estimate, rel=0.1)
    assert measured > model.layers * LENGTH * estimate


def test_hugging_face_layers_keep_what_is_estimated(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    measured = hugging_face(tmp_path, model, recompute=False)
    assert measured == pytest.approx(model.layers * LENGTH * activations.huggingface_layer(model), rel=0.03)


def test_a_layer_that_is_computed_again_keeps_its_input(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    inputs = model.layers * LENGTH * activations.checkpoint(model, Parallelism("fsdp", gpus=1))
    # Beside them the angles, which all layers share.
    assert hugging_face(tmp_path, model, recompute=True) == pytest.approx(inputs, rel=0.2)


def hugging_face(folder: Path, model: Architecture, recompute: bool) -> int:
    """Bytes that the decoder layers keep of one sequence."""
    decoder = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.bfloat16).model
    decoder.norm = torch.nn.Identity()
    if recompute:
        decoder.gradient_checkpointing_enable({"use_reentrant": False})
    hidden = torch.randn(1, LENGTH, model.hidden, dtype=torch.bfloat16, requires_grad=True)
    with kept(decoder) as sizes:
        decoder.train()(inputs_embeds=hidden, use_cache=False)
    return sum(sizes)


@pytest.fixture(scope="module")
def measured_logits(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """The most bytes at a time in each of `WAYS`."""
    file = tmp_path_factory.mktemp("logits") / "measured.json"
    multiprocessing.spawn(megatron_memory.logits, args=(file, WAYS))
    measured: list[int] = megatron_memory.read(file)
    return measured


@pytest.mark.slow
@pytest.mark.parametrize(("way", "update", "entropy", "chunk"), [(number, *way) for number, way in enumerate(WAYS)])
def test_logits_take_what_is_estimated(
    measured_logits: list[int], way: int, update: bool, entropy: bool, chunk: int | None
) -> None:
    model = QWEN3_8B
    asked = training(megatron(gpus=1), tokens=TOKENS, entropy=update and entropy, entropy_chunk=chunk)
    estimate = (
        TOKENS * activations.logits(model, asked)
        if update
        else TOKENS * activations.logits_without_gradient(model, asked) + activations.entropy(model, asked)
    )
    assert measured_logits[way] == pytest.approx(estimate * WORDS / model.vocabulary, rel=0.01)


def test_sequence_parallelism_spreads_all_of_a_layer() -> None:
    whole = activations.megatron_layer(QWEN3_8B, megatron(), fused=True)
    assert activations.megatron_layer(QWEN3_8B, megatron(tensor=4), fused=True) == pytest.approx(whole / 4)


@pytest.mark.parametrize(("recompute", "block", "layers"), [(0, False, 36), (1, False, 1), (4, False, 4)])
def test_recomputation_keeps_inputs_and_one_group(recompute: int, block: bool, layers: int) -> None:
    asked = training(megatron(), recompute=recompute, recompute_block=block)
    inputs = activations.checkpoint(QWEN3_8B, asked.layout) * 36 / recompute if recompute else 0
    full = activations.layer(QWEN3_8B, asked) * layers
    assert activations.per_token(QWEN3_8B, asked, 36, 1) == pytest.approx(inputs + full)


def test_recomputation_of_a_block_keeps_the_other_layers() -> None:
    asked = training(megatron(), recompute=30, recompute_block=True)
    full, once = activations.layer(QWEN3_8B, asked), activations.checkpoint(QWEN3_8B, asked.layout)
    assert activations.per_token(QWEN3_8B, asked, 36, 1) == pytest.approx(30 * once + 7 * full)


def test_early_stages_of_a_pipeline_have_begun_more() -> None:
    plain, interleaved = megatron(pipeline=4), megatron(pipeline=4, virtual=2)
    assert [activations.under_way(plain, stage) for stage in (0, 3)] == [4, 1]
    assert activations.under_way(interleaved, 0) == pytest.approx(4 * (1 + 3 / 8))
