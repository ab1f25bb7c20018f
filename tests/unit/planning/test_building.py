"""Models without weights: as many parameters as the real ones, however they are spread."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from torch import multiprocessing

from tests.support import megatron_memory
from tests.support.planned import FOLDER_0_6B, FOLDER_8B, QWEN3_0_6B, QWEN3_8B, megatron, tiny, training
from verl_spo.errors import ConfigError
from verl_spo.planning import building
from verl_spo.training.parallelism import Parallelism

pytestmark = pytest.mark.slow

NORMS = 36 * (2 * 4096 + 2 * 128) + 4096
"""Of Qwen3-8B: parameters that every tensor-parallel rank has."""


def parameters(layout: Parallelism) -> list[int]:
    return [stage.parameters for stage in building.build(FOLDER_8B, training(layout), []).stages]


def test_one_rank_has_the_whole_model() -> None:
    assert parameters(megatron()) == parameters(Parallelism("fsdp", gpus=8)) == [8_190_735_360]


@pytest.mark.parametrize("ranks", [2, 4])
def test_tensor_parallel_ranks_add_up(ranks: int) -> None:
    (each,) = parameters(megatron(tensor=ranks))
    assert ranks * each - (ranks - 1) * NORMS == QWEN3_8B.parameters


@pytest.mark.parametrize("virtual", [1, 2])
def test_pipeline_stages_add_up(virtual: int) -> None:
    first, last = building.build(FOLDER_8B, training(megatron(pipeline=2, virtual=virtual)), []).stages
    assert first.parameters + last.parameters == QWEN3_8B.parameters
    assert (first.layers, last.layers) == (18, 18)
    assert (first.embeds, first.outputs, last.embeds, last.outputs) == (True, False, False, True)


def test_tied_embeddings_lie_on_both_ends_of_a_pipeline() -> None:
    first, last = building.build(FOLDER_0_6B, training(megatron(pipeline=2)), []).stages
    assert first.parameters + last.parameters == QWEN3_0_6B.parameters + QWEN3_0_6B.word_parameters


def test_adapters_are_all_that_lora_trains() -> None:
    adapters = {"r": 32, "target_modules": "all-linear"}
    (stage,) = building.build(FOLDER_0_6B, training(Parallelism("fsdp", gpus=1), adapters=adapters), []).stages
    assert stage.parameters - stage.trained == QWEN3_0_6B.parameters
    assert stage.trained == QWEN3_0_6B.adapters(32)


def test_flops_are_verls() -> None:
    flops = building.build(FOLDER_8B, training(megatron()), [9000] * 1024).flops
    assert flops == pytest.approx(526e15, rel=1e-3)


def test_what_megatron_refuses_names_the_layout() -> None:
    with pytest.raises(ConfigError, match=r"TP 3, PP 1, CP 1, VPP 1.*num_attention_heads \(32\)"):
        parameters(megatron(gpus=6, tensor=3))


def test_an_unknown_override_of_the_transformer_is_refused() -> None:
    with pytest.raises(ConfigError, match="recompute_granularitty"):
        building.build(FOLDER_8B, training(megatron(), transformer={"recompute_granularitty": "full"}), [])


def test_a_process_that_ended_is_told_and_replaced() -> None:
    parameters(megatron())
    ((child, said),) = building._IDLE
    print("no memory left", file=said, flush=True)
    child.kill()
    with pytest.raises(ConfigError, match=r"(?s)ended with status -9\n.*no memory left"):
        parameters(megatron())
    assert parameters(megatron()) == [QWEN3_8B.parameters]


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters(megatron())
    ((child, _),) = building._IDLE
    with monkeypatch.context() as interrupted:
        interrupted.setattr(child.stdout, "readline", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            parameters(megatron(tensor=2))
    assert parameters(megatron()) == [QWEN3_8B.parameters]


@pytest.mark.slow
def test_mbridge_builds_the_same_model(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    multiprocessing.spawn(megatron_memory.layers, args=(tmp_path / "measured.json", tmp_path, 16))
    assert megatron_memory.read(tmp_path / "measured.json")["parameters"] == model.parameters
