"""Bytes of a GPU that trains."""

import pytest

from tests.support.planned import QWEN3_8B, built, megatron, training
from verl_spo.planning import memory
from verl_spo.planning.building import Built
from verl_spo.planning.settings import Training
from verl_spo.planning.sizes import GIB
from verl_spo.training.parallelism import Parallelism

WHOLE = QWEN3_8B.parameters


def states(asked: Training, model: Built) -> float:
    return memory.of_training(QWEN3_8B, asked, model).states / GIB


@pytest.mark.parametrize(
    ("gpus", "tensor", "pipeline", "size"),
    [(8, 1, 1, 57.2), (8, 2, 1, 34.3), (8, 2, 2, 22.9), (8, 4, 1, 22.9), (32, 2, 1, 25.8), (32, 4, 1, 14.3)],
)
def test_states_of_megatron(gpus: int, tensor: int, pipeline: int, size: float) -> None:
    # Reckoned by hand: 2 bytes of weights, 4 of gradients, 12 of optimizer over the data-parallel ranks.
    asked = training(megatron(gpus, tensor, pipeline))
    assert states(asked, built(tensor * pipeline, pipeline)) == pytest.approx(size, abs=0.06)


def test_an_optimizer_that_is_not_sharded_is_whole() -> None:
    asked = training(megatron(tensor=2), optimizer_sharded=False)
    assert states(asked, built(2)) == pytest.approx(WHOLE / 2 * 18 / GIB)


def test_context_parallel_ranks_share_the_optimizer_too() -> None:
    assert states(training(megatron(context=2)), built()) == states(training(megatron()), built())


def test_states_of_fsdp_are_spread_over_all() -> None:
    found = memory.of_training(QWEN3_8B, training(Parallelism("fsdp", gpus=8)), built())
    assert found.parameters + found.gradients + found.optimizer == WHOLE * 16 / 8


def test_gradients_that_wait_for_the_last_micro_batch_are_whole() -> None:
    asked = training(Parallelism("fsdp", gpus=8), unsharded_gradients=True)
    assert memory.of_training(QWEN3_8B, asked, built()).gradients == 4 * WHOLE


def test_adapters_alone_have_gradients_and_moments() -> None:
    found = memory.of_training(QWEN3_8B, training(Parallelism("fsdp", gpus=8)), built(trained=1_000_000))
    assert (found.gradients, found.optimizer) == (500_000, 1_000_000)


@pytest.mark.parametrize(
    ("parameters", "optimizer", "stays"),
    [(True, True, 0), (False, True, 6), (True, False, 12 / 8), (False, False, 6 + 12 / 8)],
)
def test_what_is_offloaded_does_not_stay(parameters: bool, optimizer: bool, stays: float) -> None:
    asked = training(megatron(), parameters_offloaded=parameters, optimizer_offloaded=optimizer)
    assert memory.of_training(QWEN3_8B, asked, built()).stays == pytest.approx(stays * WHOLE)


def test_the_stage_that_needs_more_counts() -> None:
    # The last one has the logits, the first one has begun more micro-batches.
    with_logits = memory.of_training(QWEN3_8B, training(megatron(pipeline=2)), built(2, 2))
    with_micro_batches = memory.of_training(QWEN3_8B, training(megatron(pipeline=2), recompute=0), built(2, 2))
    assert (with_logits.stage, with_micro_batches.stage) == (1, 0)
    assert with_micro_batches.logits == 0


def test_an_update_needs_more_than_log_probs() -> None:
    found = memory.of_training(QWEN3_8B, training(megatron(tensor=2)), built(2))
    assert found.scoring < found.update
    assert found.activations < found.activations_without_recompute
